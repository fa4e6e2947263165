r"""Recognises errors and build steps in the text of log lines.

A line looks like an error when it has one of the words below, in upper or lower case, and no phrase that denies it
("0 errors", "warning: …"). In a log without such a line, the first line on standard error is taken as the first error.
This is a guess; docs/logs.md describes it as one.
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
"""Largest number of build steps that are remembered by number."""


def looks_like_error(text: str) -> bool:
    """Returns whether a line has the words of an error."""
    return _ERROR.found(text) and not _NO_ERROR.found(text)


class FirstError:
    """Finds the first line that looks like an error.

    Args:
        standing: The seq of the line to fall back on, from an earlier search of the lines before.

    Attributes:
        found: The seq of the line that looks like an error; None until there is one.
        standing: The seq of the first line on standard error.
    """

    def __init__(self, standing: int | None = None) -> None:
        self.found: int | None = None
        self.standing = standing

    def take(self, lines: Iterable[LogLine]) -> bool:
        """Examines the next lines; returns whether the error has been found."""
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
        step: The step that began last, or the one that BuildKit reports as failed; empty before the first.
    """

    def __init__(self) -> None:
        self.step = ""
        self._by_number: dict[str, str] = {}
        self._failed = False

    def take(self, text: str) -> None:
        """Examines the next line."""
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
