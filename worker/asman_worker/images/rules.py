"""The operator's rules for images that a worker may run and build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from asman_shared.errors import ExecutionError

from .reference import BUILT_REGISTRY, ImageReference


@dataclass(frozen=True, slots=True)
class ImageRules:
    """Patterns of images.

    A name that matches a ``deny`` pattern is refused. If there are ``allow`` patterns, a name must match one of them.
    The name of a build is ``build:`` and its source, such as ``build:https://github.com/me/tool``
    (``build:`` alone for Dockerfile text). Each base image of its Dockerfile is checked by its own name.

    Attributes:
        allow: Patterns of allowed names; empty allows everything.
        deny: Patterns of refused names, even if ``allow`` matches.
    """

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()

    @property
    def strict(self) -> bool:
        """Whether there are any rules."""
        return bool(self.allow or self.deny)

    def check(self, reference: ImageReference) -> None:
        """Checks whether an image is allowed.

        Raises:
            ExecutionError: The image may not be used here.
        """
        if reference.registry == BUILT_REGISTRY:
            raise ExecutionError(f"images of {BUILT_REGISTRY} were built by workers; name the build instead")
        self._judge(
            f"image '{reference.familiar}'",
            denied=any(reference.matches(pattern) for pattern in self.deny),
            allowed=any(reference.matches(pattern) for pattern in self.allow),
        )

    def check_submodule(self, source: str) -> None:
        """Checks whether a repository may be a part of an allowed one, by the rules of what is denied.

        Raises:
            ExecutionError: It is not allowed here.
        """
        self._judge(f"'build:{source}'", denied=self._denies(f"build:{source}"), allowed=True)

    def check_build(self, source: str) -> None:
        """Checks whether a build is allowed, by its source.

        Raises:
            ExecutionError: The build is not allowed here.
        """
        name = f"build:{source}"
        self._judge(
            f"'{name}'",
            denied=self._denies(name),
            allowed=any(fnmatchcase(name, pattern) for pattern in self.allow),
        )

    def _denies(self, name: str) -> bool:
        """Whether a build's name is denied; in letters of any case, which many servers take for the same."""
        return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.deny)

    def _judge(self, what: str, *, denied: bool, allowed: bool) -> None:
        if denied:
            raise ExecutionError(f"this worker's operator does not allow {what} (--deny-image)", fault="worker")
        if self.allow and not allowed:
            raise ExecutionError(
                f"this worker's operator allows other images and builds, not {what} (--allow-image)", fault="worker"
            )
