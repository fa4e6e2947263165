"""Selects lines of a log that is read in pages, in either direction, without keeping the pages in memory.

A `LineFilter` takes lines in order, forwards or backwards, and may stop at any line. Its `resume` and
`remaining_context` are all that another filter needs to continue. So a request can end at any line, and the next
request begins there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.messages import STREAMS, Gap, LogLine, LogSelection

Wanted = Callable[[LogLine], bool]


def wanted_by(select: LogSelection) -> Wanted | None:
    """Returns a test for lines of the selected streams and phases; None when all lines are selected."""
    streams = {STREAMS.index(name) for name in select.streams}
    phases = set(select.phases)
    if streams and phases:
        return lambda line: line.stream in streams and line.phase in phases
    if streams:
        return lambda line: line.stream in streams
    if phases:
        return lambda line: line.phase in phases
    return None


def weight(line: LogLine) -> int:
    """Returns the size of a line with its line end, in bytes, as ``max_bytes`` counts it."""
    text = line.text
    return len(text) + 1 if text.isascii() else len(text.encode("utf-8", "replace")) + 1


def cut_to(line: LogLine, size: int) -> LogLine:
    """Returns the line with as much of its text as fits into ``size`` bytes with its line end."""
    return replace(line, text=line.text.encode("utf-8", "replace")[: max(0, size - 1)].decode("utf-8", "ignore"))


def gaps(lines: Sequence[LogLine], since: int, end: int = 0) -> list[Gap]:
    """Lists the ranges of missing lines between ``since`` and the last of ``lines``, or ``end`` if that is later."""
    found: list[Gap] = []
    if lines and (lines[0].seq != since or lines[-1].seq - since + 1 != len(lines)):
        for line in lines:
            if line.seq > since:
                found.append(Gap(since, line.seq))
            since = line.seq + 1
    elif lines:
        since = lines[-1].seq + 1
    if end > since:
        found.append(Gap(since, end))
    return found


class LineFilter:
    """Picks the selected lines out of lines that arrive in pages.

    Args:
        wanted: Test for the lines that are considered; None for all.
        found: Test for a match in a line's text; None when there is no pattern.
        context: Number of lines to pick before and after each match.
        remaining_context: Number of lines still to pick after an earlier match.
        count: Number of lines to pick, of the matches or of all; None for no limit.
        size: Bytes of text to pick; None for no limit.
        page: Number of lines after which the filter stops; None collects no lines and only tracks the position.

    Attributes:
        taken: The lines that were picked, in order.
        edge: The seq of the line that was picked last.
        count: Number of lines still to pick.
        size: Bytes of text still to pick.
        remaining_context: Number of lines still to pick after the last match.
        done: True when no more lines are wanted.
        full: True when the page is full.
        cut: True when ``size`` left something out.
    """

    def __init__(
        self,
        wanted: Wanted | None,
        found: Callable[[str], bool] | None,
        context: int,
        *,
        remaining_context: int = 0,
        count: int | None = None,
        size: int | None = None,
        page: int | None = None,
    ) -> None:
        self.taken: list[LogLine] = []
        self.edge: int | None = None
        self.count = count
        self.size = size
        self.remaining_context = remaining_context
        self.done = self.full = self.cut = False
        self._wanted = wanted
        self._found = found
        self._context = context
        self._page = page
        self._room = limits.LOG_PAGE_BYTES
        self._held: deque[LogLine] = deque(maxlen=context)
        self._stopped: int | None = None

    @property
    def complete(self) -> bool:
        """Whether everything selected has been picked."""
        return self.done or (self.count == 0 and not self.remaining_context)

    def resume(self, after: int) -> int:
        """Returns the seq of the line to continue with; ``after`` is the seq after all lines taken so far."""
        if self._stopped is not None:
            return self._stopped
        return self._held[0].seq if self._held else after

    def take(self, lines: Iterable[LogLine]) -> bool:
        """Takes the next lines; returns whether the filter has stopped, because it is ``done`` or ``full``."""
        wanted, found = self._wanted, self._found
        for line in lines:
            if self.complete:
                self._stop(line, done=True)
            elif wanted is not None and not wanted(line):
                continue
            elif found is None:
                self._pick(line, counts=True)
            elif self.count != 0 and found(line.text):
                self._hit(line)
            elif self.remaining_context:
                self.remaining_context -= self._pick(line)
            else:
                self._held.append(line)
            if self._stopped is not None:
                return True
        return False

    def _hit(self, line: LogLine) -> None:
        while self._held:
            if not self._pick(self._held[0]):
                return
            self._held.popleft()
        if self._pick(line, counts=True):
            self.remaining_context = self._context

    def _pick(self, line: LogLine, *, counts: bool = False) -> bool:
        """Picks a line if there is room for it and returns True; otherwise stops at the line."""
        if self._page is not None and (len(self.taken) >= self._page or self._room <= 0):
            self._stop(line)
            return False
        if self.size is not None:
            size = weight(line)
            if size > self.size:
                self.cut = True
                if self._page is None or self.size < 2:
                    self._stop(line, done=True)
                    return False
                line, size = cut_to(line, self.size), self.size
            self.size -= size
        if self._page is not None:
            self.taken.append(line)
            self._room -= len(line.text)
        self.edge = line.seq
        if counts and self.count is not None:
            self.count -= 1
        return True

    def _stop(self, line: LogLine, *, done: bool = False) -> None:
        self._stopped = line.seq
        self.done, self.full = done, not done
