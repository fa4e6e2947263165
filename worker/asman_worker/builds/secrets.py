"""Keeps a worker's secrets for builds. A job names a secret; its value is never in a definition, a log or a key.

A folder has one file per secret, as container engines and clusters mount them. The file's name is the secret's name,
and its text is the value. A build requests a secret by a build argument without a value (``buildArgs:
["NPM_TOKEN"]``), as engines' command lines take such an argument from their own environment. So the name is part of the
job's id, and the value is not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from asman_shared.errors import BadDefinition, ExecutionError
from asman_shared.units import KIB

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LARGEST: Final = 64 * KIB
_SHORTEST: Final = 4
_MASK: Final = "***"


class BuildSecrets:
    """The secrets of one worker.

    Args:
        folder: Folder of the secrets; None for none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def get(self, name: str) -> str:
        """Returns the present value of a secret, without a final line end.

        Raises:
            ExecutionError: This worker does not hold it.
        """
        missing = ExecutionError(
            f"the build needs the secret '{name}', which this worker does not hold", fault="worker"
        )
        if self._folder is None or _NAME.fullmatch(name) is None:
            raise missing
        path = self._folder / name
        try:
            if path.stat().st_size > _LARGEST:
                raise ExecutionError(f"the secret '{name}' is larger than {_LARGEST} bytes", fault="worker")
            return path.read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise missing from error


def split_args(build_args: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Returns build arguments with their values, and the names of those that are secrets.

    Raises:
        BadDefinition: An argument has an invalid name.
    """
    given: dict[str, str] = {}
    named: list[str] = []
    for text in build_args:
        name, equals, value = text.partition("=")
        if _NAME.fullmatch(name) is None:
            raise BadDefinition(
                "a build argument must be NAME=value, or NAME alone for a secret that the worker holds",
                field="definition.build.buildArgs",
            )
        if equals:
            given[name] = value
        elif name not in named:
            named.append(name)
    return given, named


class Masker:
    """Removes secrets from a text that arrives in pieces, wherever the pieces are cut.

    Values shorter than four characters are not removed, because they would match other text.

    Args:
        secrets: Values by name.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        words: set[str] = set()
        for value in secrets.values():
            words |= {value, base64.b64encode(value.encode()).decode(), *value.splitlines()}
        kept = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(word) for word in kept)) if kept else None
        self._longest = max((len(word) for word in kept), default=0)
        self._held = ""

    def feed(self, text: str) -> str:
        """Takes more text; returns the part that can be shown so far."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(_MASK, self._held + text)
        # Text that may be the beginning of a secret waits for the next piece.
        keep = min(len(text), self._longest - 1)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """Returns the text that was held back, at the end."""
        held, self._held = self._held, ""
        return held

    def all(self, text: str) -> str:
        """Returns a whole text without the secrets."""
        return text if self._pattern is None else self._pattern.sub(_MASK, text)

    def finds(self, text: str) -> bool:
        """Whether a text contains a secret."""
        return self._pattern is not None and self._pattern.search(text) is not None
