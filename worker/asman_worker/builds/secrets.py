"""Keeps a worker's secrets for builds. A job names a secret; its value is never in a definition, a log or a key.

A folder has one file per secret, as container engines and clusters mount them. The file's name is the secret's name,
and its text is the value. A build requests a secret by a build argument without a value (``buildArgs:
["NPM_TOKEN"]``), as engines' command lines take such an argument from their own environment. So the name is part of the
job's id, and the value is not.

Whoever writes a Dockerfile can read the secrets that its build gets. So the operator binds each secret to sources, and
no other build gets it.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from asman_shared.definition import Build
from asman_shared.errors import BadDefinition, BadRequest, ExecutionError
from asman_shared.units import KIB

from .source import Source
from .source_patterns import SourcePattern

log = logging.getLogger("asman.worker.secrets")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LARGEST: Final = 64 * KIB
_SHORTEST: Final = 4
_MASK: Final = "***"


class BuildSecrets:
    """The secrets of one worker.

    Args:
        folder: Folder of the secrets; None for none.
        bindings: The sources of each secret, as ``NAME=build:PATTERN``.

    Raises:
        BadRequest: A binding can't be read, or there are secrets without bindings or bindings without secrets.
    """

    def __init__(self, folder: Path | None = None, bindings: Iterable[str] = ()) -> None:
        self._folder = folder
        self._sources: dict[str, list[SourcePattern]] = {}
        for text in bindings:
            name, _, pattern = text.partition("=")
            if _NAME.fullmatch(name) is None:
                raise BadRequest(
                    f"'{text[:80]}' does not bind a secret: NAME=build:https://host/owner/*", field="secret"
                )
            self._sources.setdefault(name, []).append(SourcePattern.parse(pattern, "secret"))
        if folder is not None and not self._sources:
            raise BadRequest(
                f"the secrets in {folder} are bound to no source, so no build would get one: say whose builds may read "
                "each, such as --secret 'NAME=build:https://host/owner/*'",
                field="secrets",
            )
        if self._sources and folder is None:
            raise BadRequest("--secret binds a secret in a folder: name the folder by --secrets", field="secret")

    def check(self, name: str, build: Build, source: Source | None, *, more_args: bool) -> None:
        """Checks whether a build may have a secret.

        Args:
            name: The secret.
            build: The build.
            source: Its source.
            more_args: Whether the build has arguments with values.

        Raises:
            ExecutionError: It may not, or this worker does not hold it. Both are one sentence, so that nobody learns
                the names of secrets.
        """
        if not any(each.trusts(build, source, more_args=more_args) for each in self._sources.get(name, ())):
            raise self._missing(name)
        self.get(name)

    def _missing(self, name: str) -> ExecutionError:
        return ExecutionError(
            f"the build needs the secret '{name}', which this worker does not hold for it (a secret is for builds of a "
            "branch or tag of the repositories that the operator names, with the repository's own Dockerfile and no "
            "other build arguments)",
            fault="worker",
        )

    def get(self, name: str) -> str:
        """Returns the present value of a secret, without a byte order mark and a final line end.

        Raises:
            ExecutionError: This worker does not hold it.
        """
        missing = self._missing(name)
        if self._folder is None or _NAME.fullmatch(name) is None:
            raise missing
        path = self._folder / name
        try:
            if path.stat().st_size > _LARGEST:
                raise ExecutionError(f"the secret '{name}' is larger than {_LARGEST} bytes", fault="worker")
            return path.read_bytes().decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the secret '%s' can't be read: %s", name, error)
            # Without a cause: it would look as if the engine were away.
            raise missing from None


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
