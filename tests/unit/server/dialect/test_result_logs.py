"""The log of a result beside the lines that were streamed: what is missing is stored, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.dialect.outcomes import lines_of, number
from asman_server.dialect.result_logs import not_streamed
from asman_shared.messages import LINE_ENDS, SYSTEM, LogLine
from asman_shared.states import Phase
from tests.support.log_harness import JOB, LogHarness

Entries = list[list[Any]]
RUN = Phase.RUNNING


def flat(entries: Entries, phase: Phase) -> list[LogLine]:
    return [line for part in lines_of(entries, phase, 1) for line in part]


async def stream(harness: LogHarness, entries: Entries, phase: Phase = RUN, gap: int = 0) -> None:
    first = (await harness.logs.open(JOB)).next_seq + gap
    lines = flat(entries, phase)
    number(lines, first)
    await harness.add(*lines)


async def missing(harness: LogHarness, result: Entries, since: int = 0) -> list[str]:
    """The texts that are stored because of a result."""
    found = await not_streamed(harness.logs, JOB, since, flat(result, RUN))
    return [("!" if line.stream else "") + line.text + LINE_ENDS[line.end] for line in found]


def out(*texts: str) -> Entries:
    return [[text, 1] for text in texts]


@pytest.mark.parametrize(
    ("streamed", "result", "added"),
    [
        (out(), out("a\n", "b"), ["a\n", "b"]),
        (out("a\n", "b\n"), out("a\n", "b\n"), []),
        (out("a\n"), out("a\n", "b\n", "a\n"), ["b\n", "a\n"]),
        (out("c\n", "d\n"), out("a\n", "b\n", "c\n", "d\n"), ["a\n", "b\n"]),
        (out("a\n", "d\n"), out("a\n", "b\n", "c\n", "d\n", "e\n"), ["b\n", "c\n", "e\n"]),
        (out("a\n", "b\n", "c\n"), out("b\n", "c\n"), []),
        (out("a\n", "b\n"), [], []),
        (out("a\n"), [["a\n", 1, True]], ["!a\n"]),
        ([["e\n", 1, True], ["a\n", 1]], [["a\n", 1], ["e\n", 1, True]], []),
        (out("a", "b\nc", "d\n"), out("ab\n", "cd\n", "e"), ["e"]),
        (out("ab\nc"), out("a", "b\n", "c", "d\n", "e\n"), ["d\n", "e\n"]),
        (out("1 %\r2 %\r"), out("1 %\r", "2 %\r", "3 %\r\n"), ["3 %\r\n"]),
        (out("1 %\r"), out("1 %\r\n", "x"), ["\n", "x"]),
        (out("no end"), out("no end"), []),
    ],
)
async def test_what_was_not_streamed_is_added_once(streamed: Entries, result: Entries, added: list[str]) -> None:
    harness = LogHarness()
    await stream(harness, streamed)
    assert await missing(harness, result) == added


async def test_lines_that_are_stored_and_no_longer_in_memory_count() -> None:
    harness = LogHarness()
    for each in range(30):
        await stream(harness, out(*[f"{each}-{n} {'x' * 100}\n" for n in range(100)]))
        harness.logs.flush()
        harness.chunks.commit()
    whole = out(*[f"{each}-{n} {'x' * 100}\n" for each in range(30) for n in range(100)], "more\n")
    assert await missing(harness, whole) == ["more\n"]
    assert harness.chunks.reads > 0


async def test_a_line_of_the_build_without_an_end_hides_no_line_of_the_run() -> None:
    harness = LogHarness()
    await stream(harness, out("99 %"), Phase.BUILDING)
    await stream(harness, out("a\n"))
    assert await missing(harness, out("a\n", "b\n")) == ["b\n"]


async def test_lines_of_the_build_in_a_result_are_not_added_to_the_run() -> None:
    harness = LogHarness()
    await stream(harness, out("pulled\n"), Phase.PULLING)
    assert await missing(harness, out("pulled\n", "a\n")) == ["a\n"]


async def test_what_is_no_longer_kept_is_not_added_again() -> None:
    harness = LogHarness()
    await stream(harness, out("a\n"))
    await stream(harness, out("c\n"), gap=1)
    assert await missing(harness, out("a\n", "b\n", "c\n", "d\n")) == ["d\n"]


async def test_lines_of_an_earlier_attempt_and_words_of_the_hub_do_not_count() -> None:
    harness = LogHarness()
    await stream(harness, out("a\n", "b\n"))
    await harness.add(LogLine(2, 1, SYSTEM, "c"))
    await stream(harness, out("a\n"))
    assert await missing(harness, out("a\n", "b\n", "c\n"), since=2) == ["b\n", "c\n"]
