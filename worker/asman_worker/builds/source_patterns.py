"""Patterns of build sources, to which an operator binds secrets and logins.

Whoever writes the Dockerfile of a build can read what the build can read. So a secret belongs to sources whose writers
may know it: ``build:https://host/owner/*``. ``*`` matches any text, but in the name of a host it stays there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from asman_shared.definition import Build
from asman_shared.errors import BadRequest

from .source import ArchiveSource, BlobSource, GitSource, Source

_PREFIX: Final = "build:"
_EVERYTHING: Final = "build:*"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WILD: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class SourcePattern:
    """A pattern of sources.

    Attributes:
        text: ``build:`` and an address with wildcards; ``build:`` alone for Dockerfile text, ``build:key:*`` for
            uploads, ``build:*`` for every build of every submitter.
    """

    text: str

    @classmethod
    def parse(cls, text: str, field: str) -> SourcePattern:
        """Reads a pattern.

        Raises:
            BadRequest: It is none.
        """
        form = text.removeprefix(_PREFIX)
        if not text.startswith(_PREFIX) or (form not in ("", "*") and not re.match(r"key:|https?://[^/]+/", form)):
            raise BadRequest(
                f"'{text[:80]}' is not a pattern of build sources, such as build:https://host/owner/* "
                "(build: for Dockerfile text, build:key:* for uploads, build:* for all)",
                field=field,
            )
        return cls(text)

    def names(self, source: str) -> bool:
        """Whether it matches an address, an upload (``key:…``) or Dockerfile text (empty)."""
        form = self.text.removeprefix(_PREFIX)
        if self.text == _EVERYTHING:
            return True
        if not source or not form or source.startswith("key:") or form.startswith("key:"):
            return (source == form) if not source or not form else fnmatchcase(source, form)
        wanted, given = urlsplit(form), urlsplit(source)
        # A wildcard of the host must not reach into the path, where a stranger may write what he likes.
        return (
            wanted.scheme == given.scheme
            and fnmatchcase(given.netloc.lower(), wanted.netloc.lower())
            and fnmatchcase(source.partition("://")[2].partition("/")[2], form.partition("://")[2].partition("/")[2])
        )

    def trusts(self, build: Build, source: Source | None, *, more_args: bool) -> bool:
        """Whether nobody but the source's writers decides what a build does, and the pattern matches it.

        Args:
            build: The build.
            source: Its source.
            more_args: Whether the submitter gives build arguments of his own, which may change what it does.
        """
        if self.text == _EVERYTHING or (self.text == _PREFIX and (source is None or bool(build.dockerfile))):
            return True
        if source is None or build.dockerfile:
            return False
        if isinstance(source, BlobSource):
            return self.names(str(source))
        if more_args:
            return False
        if isinstance(source, ArchiveSource) and _WILD.search(self.text):
            # Code hosts serve the files of any proposed change below the address of the repository.
            return False
        if isinstance(source, GitSource) and _COMMIT.fullmatch(source.ref or source.page.partition("/")[0]):
            # Code hosts find the commits of every fork in a repository; its branches and tags are its owner's.
            return False
        return self.names(str(source))


def any_names(patterns: Iterable[SourcePattern], source: str) -> bool:
    """Whether one of the patterns matches an address."""
    return any(pattern.names(source) for pattern in patterns)
