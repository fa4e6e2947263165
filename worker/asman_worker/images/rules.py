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

    A name that a ``deny`` pattern fits is refused. When there are ``allow`` patterns, so is one that none of them fits.
    A build is judged by the name ``build:`` and where it comes from, such as ``build:https://github.com/me/tool``
    (``build:`` alone for Dockerfile text), and each image that its Dockerfile begins from by its own name.

    Attributes:
        allow: What may be used; empty for everything.
        deny: What may not, whatever ``allow`` says.
    """

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()

    @property
    def strict(self) -> bool:
        """Whether there are any."""
        return bool(self.allow or self.deny)

    def check(self, reference: ImageReference) -> None:
        """Refuses an image.

        Raises:
            ExecutionError: It may not be used here.
        """
        if reference.registry == BUILT_REGISTRY:
            raise ExecutionError(f"images of {BUILT_REGISTRY} were built by workers; name the build instead")
        self._judge(
            f"image '{reference.familiar}'",
            denied=any(reference.matches(pattern) for pattern in self.deny),
            allowed=any(reference.matches(pattern) for pattern in self.allow),
        )

    def check_build(self, source: str) -> None:
        """Refuses a build by where it comes from.

        Raises:
            ExecutionError: It may not be built here.
        """
        name = f"build:{source}"
        self._judge(
            f"'{name}'",
            denied=any(fnmatchcase(name, pattern) for pattern in self.deny),
            allowed=any(fnmatchcase(name, pattern) for pattern in self.allow),
        )

    def _judge(self, what: str, *, denied: bool, allowed: bool) -> None:
        if denied:
            raise ExecutionError(f"this worker's operator does not allow {what} (--deny-image)", fault="worker")
        if self.allow and not allowed:
            raise ExecutionError(
                f"this worker's operator allows other images and builds, not {what} (--allow-image)", fault="worker"
            )
