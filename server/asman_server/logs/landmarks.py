r"""What lines give away: which look like an error, and which step of a build they belong to.

A line looks like an error when it has one of the words below, in any case, and nothing that says that it is none
("0 errors", "warning: …"). A log without such a line is taken to begin to go wrong with its first line on standard
error. That is a guess, and described as one in docs/logs.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from asman_shared.messages import STDERR, LogLine

from .patterns import Pattern

_ERROR: Final = Pattern(
    r"\b[A-Z]\w*(?:Error|Exception)\b"
    r"|(?i:\b(?:error|exception|fatal|panic|panicked|traceback|failed|failure|aborted|killed)\b"
    r"|segmentation fault|core dumped|out of memory|no such file|not found|permission denied"
    r"|undefined reference|no space left)"
)
_NO_ERROR: Final = Pattern(
    r"\b(?:no|0|zero|without)\s+(?:\w+\s+)?(?:errors?|exceptions?|failures?|failed)\b"
    r"|\b(?:errors?|exceptions?|failures?|failed)\s*[=:]\s*(?:0|none|null|false|no)\b"
    r"|\bwarn(?:ing)?\b",
    ignore_case=True,
)
_CLASSIC: Final = re.compile(r"Step \d{1,5}/\d{1,5} : ")
_BUILDKIT: Final = re.compile(r"#(\d{1,5}) (\[[^\]]{0,200}\d/\d{1,5}\] .*)")
_BUILDKIT_ERROR: Final = re.compile(r"#(\d{1,5}) (?:ERROR|CANCELED)\b")
_STEP_LENGTH: Final = 500
_STEPS: Final = 2000
"""Steps of a build that are remembered by number at most."""


def looks_like_error(text: str) -> bool:
    """Whether a line has the words of an error."""
    return _ERROR.found(text) and not _NO_ERROR.found(text)


class FirstError:
    """Looks for the first line that looks like an error.

    Args:
        standing: The line to take if no better one comes, from an earlier look at the lines before.

    Attributes:
        found: The seq of the line that looks like an error, once there is one.
        standing: The seq of the first line on standard error.
    """

    def __init__(self, standing: int | None = None) -> None:
        self.found: int | None = None
        self.standing = standing

    def take(self, lines: Iterable[LogLine]) -> bool:
        """Looks at the next lines; whether it has been found."""
        for line in lines:
            if looks_like_error(line.text):
                self.found = line.seq
                return True
            if self.standing is None and line.stream == STDERR:
                self.standing = line.seq
        return False


class BuildSteps:
    """Follows the output of a build: Docker's ``Step 2/5 : RUN make``, and BuildKit's ``#7 [2/5] RUN make``.

    Attributes:
        step: The step last begun, or the one that BuildKit says went wrong; empty before the first.
    """

    def __init__(self) -> None:
        self.step = ""
        self._by_number: dict[str, str] = {}
        self._failed = False

    def take(self, text: str) -> None:
        """Looks at the next line."""
        text = text[:_STEP_LENGTH].rstrip()
        if _CLASSIC.match(text):
            self.step = text
        elif begun := _BUILDKIT.match(text):
            number, name = begun.groups()
            if number not in self._by_number and len(self._by_number) < _STEPS and not self._failed:
                self._by_number[number] = self.step = name
        elif (broken := _BUILDKIT_ERROR.match(text)) and not self._failed:
            self._failed = True
            self.step = self._by_number.get(broken[1], self.step)
