r"""Recognises errors and build steps in the text of log lines.

A line looks like an error when it has one of the words below beside what denies one ("0 errors", "error-free.txt",
"warning: …"). In a log without such a line, the first line on standard error is taken as the first error.
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
    r"|(?i:\b(?:error|exception|fatal|panic|panicked|traceback|failed|failure|aborted|killed|[1-9]\d* errors)\b"
    r"|segmentation fault|illegal instruction|core dumped|out of memory|no space left"
    r"|no such file|not found|cannot find|can't (?:locate|open|find)|could not|permission denied|connection refused"
    r"|undefined reference)"
    r"|\bFAIL\b|^\s*not ok\b|^npm ERR!|^E: |^! [A-Z]|^[EF]\d{4} \d\d:\d\d|^g?make(?:\[\d+\])?: \*\*\* "
)
_WORDS: Final = r"(?:errors?|exceptions?|failures?|failed|fatal)"
_DENIED: Final = Pattern(
    # Counts and values that say that there is none, and measured ones: "0 errors", "error: None", "error: 0.25".
    rf"(?i:(?:^|[^.\w=:])(?:no|0|zero|without(?: an?| any)?)\s+(?:\w+\s+)?{_WORDS}\b"
    rf'|\b{_WORDS}\b"?\s*[=:]\s*(?:(?:none|null|<?nil>?|false|no)\s*(?:$|[,;)\]}}|])'
    r"|0\s*(?:$|[,;.)\]}|]\D|[,;.)\]}|]$|\s\w+\s*[=:])|\d*\.\d+)"
    rf"|\bnon-?(?:fatal|error)\b|\b(?:squared|absolute|relative|standard|rounding) errors?\b"
    # Names of files, options and packages: "error-free.txt", "src/error.rs", "--fail-on-error".
    rf"|[\w./\\-]*\b{_WORDS}(?:[-/\\]\w[\w./\\-]*|\.[a-z]{{1,4}}\b)|(?:\w-|--|[/\\]){_WORDS}\b"
    # Whatever follows the word of a warning, and lines of tools that look for something and may do without.
    r"|\w*warn(?:ing)?\b.*|^checking .*|^-- .*)|\b[A-Z]\w*(?:Error|Exception)-\w"
    # The names of tests that passed or begin, and commands that a shell shows before it runs them.
    r"|^.*\b(?:PASSED|SKIPPED|XFAIL)\b|^\s*(?:--- PASS|=== RUN|ok \d+|[✓✔√])\s?.*|^test .* \.\.\. ok$|^\++ .*"
)
_CLASSIC: Final = re.compile(r"Step \d{1,5}/\d{1,5} : ")
_BUILDKIT: Final = re.compile(r"#(\d{1,5}) (\[[^\]]{0,200}\d/\d{1,5}\] .*)")
_BUILDKIT_ERROR: Final = re.compile(r"#(\d{1,5}) (?:ERROR|CANCELED)\b")
_STEP_LENGTH: Final = 500
_STEPS: Final = 2000
"""Largest number of build steps that are remembered by number."""


def looks_like_error(text: str) -> bool:
    """Returns whether a line has the words of an error beside those that deny one."""
    return _ERROR.found(text) and _ERROR.found(_DENIED.without(text))


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
