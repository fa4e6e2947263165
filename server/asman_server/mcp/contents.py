"""Reads the content of output files, within bounds, and makes the parts of which answers consist."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from asman_shared.definition_check import base64_bytes
from asman_shared.errors import AsmanError
from asman_shared.identity import json_bytes
from asman_shared.messages import OutputFile, Result
from asman_shared.units import format_size

from ..rest.blob_bytes import Unsent, blob_bytes, within
from .context import Context

LINKS: Final = 50
"""Largest number of files in one answer that are links; further ones are counted."""
TEXTS: Final = 20
"""Largest number of files in one answer that are text: each may be a request to the storage."""
_NO_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters of no text, each of which takes six bytes in JSON."""


async def content_of(context: Context, file: OutputFile, most: int) -> bytes:
    """Returns the bytes of an output file.

    Raises:
        Unsent: There are more than ``most``, or another place has them.
        NotFound: The blob is not stored.
        Unavailable: The database or the storage can't be used now.
    """
    ref = file.ref
    if ref.type == "key":
        return await blob_bytes(context.hub, str(ref.value), most)
    if ref.type == "url":
        raise Unsent("the file is kept elsewhere")
    if ref.type == "base64":
        body = base64_bytes(ref.value, "ref.value")
    else:
        body = json_bytes(ref.value) if ref.type == "json" or not isinstance(ref.value, str) else ref.value.encode()
    return within(body, most)


def text_of(body: bytes) -> str | None:
    """Returns bytes as text; None if they are none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if _NO_TEXT.search(text) is None else None


def size_of(file: OutputFile) -> str:
    """Returns the size of a file in words."""
    size = file.known_size
    return "unknown size" if size is None else format_size(size)


def link(context: Context, job: str, path: str, file: OutputFile) -> dict[str, Any]:
    """Returns the part of an answer that is the address of a file."""
    made: dict[str, Any] = {
        "type": "resource_link",
        "uri": context.address(job, quote(path)),
        "name": path,
        "mimeType": file.media_type,
    }
    if file.known_size is not None:
        made["size"] = file.known_size
    return made


def words(text: str) -> dict[str, Any]:
    """Returns the part of an answer that is text."""
    return {"type": "text", "text": text.encode("utf-8", "replace").decode()}


class Files:
    """The output files of a result as parts of an answer: small texts themselves, all others as links.

    Made by `of`.

    Attributes:
        listed: The files for programs.
        texts: The texts, by path.
        links: Parts with the addresses of the files that are not among the texts.
        left_out: Number of files that are in none of these.
    """

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.texts: dict[str, str] = {}
        self.links: list[dict[str, Any]] = []
        self.left_out = 0

    @staticmethod
    async def of(context: Context, job: str, result: Result | None, most: int) -> Files:
        """Returns the files of a result, with up to ``most`` bytes of text.

        Raises:
            Unavailable: The database can't be used now.
        """
        made = Files()
        for path, file in sorted((result.outputs if result is not None else {}).items()):
            if len(made.listed) >= LINKS:
                made.left_out += 1
                continue
            found = link(context, job, path, file)
            each = {"path": path, "size": file.known_size, "media_type": file.media_type, "url": found["uri"]}
            text = await _small_text(context, file, most) if len(made.texts) < TEXTS else None
            if text is None:
                made.links.append(found)
            else:
                most -= len(text.encode())
                made.texts[path] = text
                each["text"] = text
            made.listed.append(each)
        return made

    def in_words(self) -> str:
        """Returns the list of the files, and the texts."""
        count = len(self.listed) + self.left_out
        if not count:
            return "It has no output files."
        lines = [f"Output files: {count}"]
        lines += [f"- {each['path']}: {each['url']}" for each in self.listed if each["path"] not in self.texts]
        if self.left_out:
            lines.append(f"- and {self.left_out} more, which the tool outputs shows by path")
        lines += [f"--- {path} ---\n{text}" for path, text in self.texts.items()]
        return "\n".join(lines)


async def _small_text(context: Context, file: OutputFile, most: int) -> str | None:
    if most <= 0 or (file.known_size or 0) > most:
        return None
    try:
        return text_of(await content_of(context, file, most))
    except AsmanError:  # its link is there in any case, and tells why it can't be read
        return None
