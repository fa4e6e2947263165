"""Parses image names into registry, repository, tag and digest, by the rules of engines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from asman_shared.errors import BadDefinition

DEFAULT_REGISTRY: Final = "docker.io"
BUILT_REGISTRY: Final = "asman.built"
"""Registry name of images that a worker built; it does not exist, so no job can name or pull them."""

_DEFAULT_NAMES: Final = (DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io")
_LENGTH: Final = 512
_PART: Final = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_REGISTRY: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def _one_form(registry: str) -> str:
    """Returns a registry's name in its only form: in small letters, without the port that https has by itself.

    Rules of the operator are for names, so one registry must not have several.
    """
    name = registry.lower()
    host = name.removesuffix(":443")
    return host if "." in host else name


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The name of an image.

    Attributes:
        registry: Registry such as ``docker.io`` or ``localhost:5000``.
        repository: Repository such as ``library/alpine``.
        tag: ``latest`` when neither a tag nor a digest was given; empty beside a digest.
        digest: ``sha256:…``, or empty.
    """

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str, *, field: str = "definition.image") -> ImageReference:
        """Parses a name in its usual forms: ``alpine``, ``hub.example/me/tool:v2``, ``alpine@sha256:…``.

        Raises:
            BadDefinition: The text is not the name of an image.
        """

        def bad(why: str) -> BadDefinition:
            shown = text if len(text) <= 80 else text[:77] + "…"
            return BadDefinition(f"'{shown}' is not the name of an image: {why}", field=field)

        if len(text) > _LENGTH:
            raise bad(f"its name is longer than {_LENGTH} characters")
        rest, at, digest = text.partition("@")
        if at and _DIGEST.fullmatch(digest) is None:
            raise bad("after '@' must come sha256: and 64 lowercase hex digits")
        first, slash, behind = rest.partition("/")
        if slash and (first == "localhost" or "." in first or ":" in first):
            registry, rest = first, behind
        else:
            registry = DEFAULT_REGISTRY
        if _REGISTRY.fullmatch(registry) is None:
            raise bad("its registry is not a host name")
        path, colon, tag = rest.partition(":")
        if colon and _TAG.fullmatch(tag) is None:
            raise bad("a tag has letters, digits, '_', '.' and '-', at most 128")
        if not all(_PART.fullmatch(part) for part in path.split("/")):
            raise bad("a repository has lowercase letters and digits, joined by '.', '_', '-' and '/'")
        registry = _one_form(registry)
        if registry in _DEFAULT_NAMES:
            registry = DEFAULT_REGISTRY
            path = path if "/" in path else f"library/{path}"
        return cls(registry, path, tag or ("" if digest else "latest"), digest)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def familiar(self) -> str:
        """The short form of the name, without the default registry and its ``library/``."""
        return str(self).removeprefix(f"{DEFAULT_REGISTRY}/library/").removeprefix(f"{DEFAULT_REGISTRY}/")

    def matches(self, pattern: str) -> bool:
        """Whether a pattern (``*``, ``?``, ``[…]``) matches the name in its full or short form.

        A pattern without a tag matches every tag; ``*`` also matches slashes.
        """
        short = self.name.removeprefix(f"{DEFAULT_REGISTRY}/library/").removeprefix(f"{DEFAULT_REGISTRY}/")
        registry, slash, rest = pattern.partition("/")
        plain = f"{_one_form(registry)}/{rest}" if slash else pattern
        names = (str(self), self.familiar, self.name, short)
        return any(fnmatchcase(name, form) for name in names for form in {pattern, plain})
