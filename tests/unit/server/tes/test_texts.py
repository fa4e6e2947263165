"""The ends of what a command wrote."""

from __future__ import annotations

from typing import Any, cast

from asman_server.queues.shell import QueueShell
from asman_server.tes.texts import TEXT_BYTES, texts
from asman_shared import limits
from asman_shared.messages import CRLF, LF, NO_END, STDERR, STDOUT, SYSTEM, LogLine


class Logs:
    """A log in memory, read as that of a queue; it counts the pages that were read."""

    def __init__(self, lines: list[LogLine]) -> None:
        self.lines = lines
        self.pages = 0

    async def read_back(self, _job: str, until: int, limit: int) -> list[LogLine]:
        self.pages += 1
        return [line for line in self.lines if line.seq < until][-limit:]


async def ends(logs: Logs, first: int, following: int) -> tuple[str, str]:
    shell: Any = type("Shell", (), {"logs": logs})
    return await texts(cast("QueueShell", shell), "job", first, following)


def line(seq: int, stream: int, text: str, end: int = LF) -> LogLine:
    return LogLine(seq, 0, stream, text, end=end)


async def test_streams_are_told_apart_byte_for_byte_between_two_lines() -> None:
    logs = Logs(
        [
            line(0, STDOUT, "before"),
            line(1, STDOUT, "a", NO_END),
            line(2, STDERR, "e", CRLF),
            line(3, SYSTEM, "of the worker"),
            line(4, STDOUT, "b"),
            line(5, STDOUT, "after"),
        ]
    )
    assert await ends(logs, 1, 5) == ("ab\n", "e\r\n")
    assert await ends(logs, 2, 2) == ("", "")


async def test_the_end_of_each_is_kept_in_bounded_work() -> None:
    count = 30 * limits.LOG_BATCH_LINES
    logs = Logs([line(0, STDERR, "too early"), *(line(seq, STDOUT, f"{seq:0100}") for seq in range(1, count))])
    out, err = await ends(logs, 0, count)
    assert (len(out), out[-7:], err) == (TEXT_BYTES, f"{count - 1:06}\n", "")
    assert logs.pages == 8
