"""Logs in pieces: in however many answers a selection comes, it is what a look at the whole log would give."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asman_server.core.job_state import state_of
from asman_server.logs import reader as module
from asman_server.logs.landmarks import looks_like_error
from asman_server.logs.reader import LogReader, Reading
from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_shared.messages import STDERR, STREAMS, Gap, LogLine, LogPage, LogSelection
from asman_shared.states import Phase
from tests.support.log_harness import JOB, LogHarness

R = TypeVar("R")
TEXTS = ["one", "two", "three é", "", "error: it broke", "0 errors", "x" * 40]
PHASES = [Phase.BUILDING, Phase.RUNNING]


@pytest.fixture(scope="module")
def reader() -> Iterator[LogReader]:
    made = LogReader()
    yield made
    made.close()


async def harness_with(lines: list[LogLine], stored: int = 0) -> LogHarness:
    """A log with these lines, so many of which are in the store and the rest at hand."""
    harness = LogHarness()
    for at in range(0, stored, 7):
        await harness.add(*lines[at : min(at + 7, stored)])
        harness.logs.flush()
        harness.logs.open_logs[JOB]._newest = []
        harness.chunks.commit()
    if stored:
        harness.logs.open_logs[JOB].recent.clear()
    await harness.add(*lines[stored:])
    return harness


async def answers(
    harness: LogHarness, reader: LogReader, select: LogSelection, *, since: int = 0, limit: int = 1000
) -> list[LogPage]:
    """All the answers that a selection comes in."""
    pages: list[LogPage] = []
    rest: LogSelection | None = select
    while rest is not None:
        assert len(pages) < 500, f"no end: {pages[-1]}"
        page = await Reading(reader, harness.logs, state_of(harness.job), harness.job.log_next, rest).page(
            since, limit, 1
        )
        assert len(page.lines) <= limit
        pages.append(page)
        since, rest = page.next, page.rest
    harness.logs.flush()
    return pages


def numbered(count: int, **at: str) -> list[LogLine]:
    """Lines ``line 0`` and so on, with other texts at some seqs (``s5="…"``)."""
    return [LogLine(n, 1, 0, at.get(f"s{n}", f"line {n}")) for n in range(count)]


def texts(pages: list[LogPage]) -> list[str]:
    return [line.text for page in pages for line in page.lines]


def seqs(pages: list[LogPage]) -> list[int]:
    return [line.seq for page in pages for line in page.lines]


# --------------------------------------------------------------------------------------------- against a plain model


def first_error(lines: list[LogLine]) -> int | None:
    for at, line in enumerate(lines):
        if looks_like_error(line.text):
            return at
    return next((at for at, line in enumerate(lines) if line.stream == STDERR), None)


def around(lines: list[LogLine], hits: list[int], context: int) -> list[LogLine]:
    wanted = set(chain.from_iterable(range(hit - context, hit + context + 1) for hit in hits))
    return [line for at, line in enumerate(lines) if at in wanted]


def model(lines: list[LogLine], select: LogSelection, since: int) -> list[LogLine]:
    """What a selection means, with the whole log at hand."""
    until = select.until if select.until is not None else 2**60
    lines = [line for line in lines if since <= line.seq < until]
    lines = [line for line in lines if not select.streams or STREAMS[line.stream] in select.streams]
    lines = [line for line in lines if not select.phases or line.phase in select.phases]
    if select.around:
        place = first_error(lines)
        if place is None:
            return []
        width = 10 if select.context is None else select.context
        lines = lines[max(0, place - width) : place + width + 1]
    hits = [at for at, line in enumerate(lines) if select.grep in line.text]
    context = (select.context or 0) if select.grep else 0
    if select.head is None and select.tail is None:
        return around(lines, hits, context)
    if select.tail is None:
        return around(lines, hits[: select.head], context)
    last = hits[-select.tail :] if select.tail else []
    return around(lines, last, context)


logs = st.lists(
    st.builds(
        lambda jump, stream, text, phase: (jump, stream, text, phase),
        st.sampled_from([0, 0, 0, 0, 5]),
        st.integers(0, 2),
        st.sampled_from(TEXTS),
        st.sampled_from(PHASES),
    ),
    max_size=60,
)
counts = st.one_of(st.none(), st.integers(0, 12))
selections = st.builds(
    LogSelection,
    until=st.one_of(st.none(), st.integers(0, 90)),
    streams=st.lists(st.sampled_from(STREAMS), unique=True, max_size=2),
    phases=st.lists(st.sampled_from(PHASES), unique=True, max_size=1),
    around=st.sampled_from(["", "", "first_error"]),
    grep=st.sampled_from(["", "o", "e", "error"]),
    context=st.one_of(st.none(), st.integers(0, 4)),
    head=counts,
    tail=counts,
)


def line_up(made: list[tuple[int, int, str, Phase]]) -> list[LogLine]:
    lines: list[LogLine] = []
    seq = 0
    for jump, stream, text, phase in made:
        seq += jump
        lines.append(LogLine(seq, 1, stream, text, phase))
        seq += 1
    return lines


@settings(max_examples=300, deadline=None)
@given(logs, selections, st.integers(0, 20), st.integers(1, 9), st.integers(0, 60), st.sampled_from([1, 300, 10**6]))
def test_any_selection_in_any_pieces_is_what_the_whole_log_gives(
    reader: LogReader,
    made: list[tuple[int, int, str, Phase]],
    select: LogSelection,
    since: int,
    limit: int,
    stored: int,
    budget: int,
) -> None:
    lines = line_up(made)
    if select.head is not None and select.tail is not None:
        select.tail = None
    if not (select.grep or select.around):
        select.context = None

    async def played() -> list[LogPage]:
        harness = await harness_with(lines, min(stored, len(lines)))
        return await answers(harness, reader, select, since=since, limit=limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SCAN_BYTES", budget)
        patch.setattr(limits, "LOG_PAGE_BYTES", 400)
        patch.setattr(limits, "LOG_PAGE_LINES", 8)
        pages = asyncio.run(played())
    assert seqs(pages) == [line.seq for line in model(lines, select, since)]
    assert not any(page.cut for page in pages)
    if select == LogSelection(until=select.until):
        here = {line.seq for line in lines}
        end = min(lines[-1].seq + 1 if lines else 0, 2**60 if select.until is None else select.until)
        missing = [seq for seq in range(since, end) if seq not in here]
        assert [seq for page in pages for gap in page.gaps for seq in range(gap.since, gap.until)] == missing


@settings(max_examples=200, deadline=None)
@given(logs, st.integers(0, 300), counts, st.sampled_from(["head", "tail", "both", ""]), st.integers(1, 9))
def test_no_answer_has_more_bytes_than_were_asked_for(
    reader: LogReader,
    made: list[tuple[int, int, str, Phase]],
    most: int,
    count: int | None,
    ends: str,
    limit: int,
) -> None:
    lines = line_up(made)
    select = LogSelection(max_bytes=most)
    if ends in ("head", "both"):
        select.head = count
    if ends in ("tail", "both"):
        select.tail = count

    async def played() -> list[LogPage]:
        return await answers(await harness_with(lines), reader, select, limit=limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SCAN_BYTES", 300)
        pages = asyncio.run(played())
    told = [line for page in pages for line in page.lines]
    size = sum(len(line.text.encode()) + 1 for line in told)
    assert size <= max(most, 0)
    assert [line.seq for line in told] == sorted({line.seq for line in told})
    whole = [line for line in lines if select.head is None or select.tail is not None or line in lines[: select.head]]
    if select.tail is not None and select.head is None:
        whole = lines[-select.tail :] if select.tail else []
    if sum(len(line.text.encode()) + 1 for line in whole) <= most // 2:
        assert not any(page.cut for page in pages)
    elif select.head is None and not select.tail:
        assert any(page.cut for page in pages) or told == whole


# ------------------------------------------------------------------------------------------------------ one by one


async def test_head_tail_and_both(reader: LogReader) -> None:
    harness = await harness_with(numbered(100), 50)
    assert seqs(await answers(harness, reader, LogSelection(head=3))) == [0, 1, 2]
    assert seqs(await answers(harness, reader, LogSelection(tail=3))) == [97, 98, 99]
    assert seqs(await answers(harness, reader, LogSelection(head=2, tail=2))) == [0, 1, 98, 99]
    assert seqs(await answers(harness, reader, LogSelection(head=99, tail=5))) == list(range(100))
    assert seqs(await answers(harness, reader, LogSelection(head=0, tail=0))) == []


async def test_a_tail_reads_no_more_than_the_end(reader: LogReader) -> None:
    harness = await harness_with(numbered(1000), 1000)
    harness.chunks.reads = 0
    assert seqs(await answers(harness, reader, LogSelection(tail=20))) == list(range(980, 1000))
    assert harness.chunks.reads <= 3


async def test_what_is_found_comes_with_what_is_around_it(reader: LogReader) -> None:
    harness = await harness_with(numbered(30, s10="Needle here", s12="another needle", s25="NEEDLE"), 20)
    found = await answers(harness, reader, LogSelection(grep="needle", context=1))
    assert seqs(found) == [11, 12, 13]
    found = await answers(harness, reader, LogSelection(grep="needle", ignore_case=True, context=1))
    assert seqs(found) == [9, 10, 11, 12, 13, 24, 25, 26]
    assert texts(await answers(harness, reader, LogSelection(grep=r"^\w+ \d*7$", head=2))) == ["line 7", "line 17"]
    assert seqs(await answers(harness, reader, LogSelection(grep="(?i)needle", tail=1))) == [25]
    assert texts(await answers(harness, reader, LogSelection(grep=r"\Qline 2\E$"))) == ["line 2"]


async def test_around_the_first_error_ten_lines_on_each_side(reader: LogReader) -> None:
    harness = await harness_with(numbered(100, s20="warning: error ahead", s50="ValueError: no", s60="error"), 90)
    assert seqs(await answers(harness, reader, LogSelection(around="first_error"))) == list(range(40, 61))
    assert seqs(await answers(harness, reader, LogSelection(around="first_error", context=1))) == [49, 50, 51]
    assert seqs(await answers(harness, reader, LogSelection(around="first_error", tail=2))) == [59, 60]
    assert seqs(await answers(harness, reader, LogSelection(around="first_error", grep="rror"))) == [50, 60]
    assert seqs(await answers(harness, reader, LogSelection(around="first_error", phases=[Phase.PULLING]))) == []


async def test_without_the_words_of_an_error_the_first_line_on_standard_error_is_taken(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = numbered(40)
    lines[15].stream = lines[30].stream = STDERR
    harness = await harness_with(lines, 40)
    monkeypatch.setattr(module, "SCAN_BYTES", 1)
    monkeypatch.setattr(limits, "LOG_PAGE_LINES", 5)
    pages = await answers(harness, reader, LogSelection(around="first_error", context=1))
    assert seqs(pages) == [14, 15, 16]
    assert len(pages) > 5, "it was looked for in many requests"


async def test_bytes_are_counted_with_line_ends_and_the_last_line_is_cut(reader: LogReader) -> None:
    harness = await harness_with([LogLine(n, 1, 0, "äöü") for n in range(5)])
    pages = await answers(harness, reader, LogSelection(max_bytes=12))
    assert (texts(pages), pages[-1].cut) == (["äöü", "äö"], True)
    pages = await answers(harness, reader, LogSelection(max_bytes=35))
    assert (texts(pages), pages[-1].cut) == (["äöü"] * 5, False)
    pages = await answers(harness, reader, LogSelection(tail=4, max_bytes=20))
    assert (seqs(pages), pages[0].cut) == ([3, 4], True)
    pages = await answers(harness, reader, LogSelection(tail=4, max_bytes=4))
    assert (seqs(pages), texts(pages), pages[0].cut) == ([4], ["ä"], True)
    assert texts(await answers(harness, reader, LogSelection(max_bytes=0))) == []


async def test_gaps_are_in_the_answer_that_covers_them(reader: LogReader) -> None:
    lines = [line for line in numbered(100) if not 20 <= line.seq < 80]
    harness = await harness_with(lines, 30)
    (page,) = await answers(harness, reader, LogSelection(grep="nothing has this"))
    assert (page.lines, page.gaps, page.next) == ([], [Gap(20, 80)], 100)
    pages = await answers(harness, reader, LogSelection(), limit=25)
    assert [page.gaps for page in pages] == [[Gap(20, 80)], []]
    (page,) = await answers(harness, reader, LogSelection(tail=25))
    assert (page.lines[0].seq, page.gaps) == (15, [Gap(20, 80)])
    assert [page.gaps for page in await answers(harness, reader, LogSelection(head=5))] == [[]]


async def test_a_log_that_grows_while_it_is_read_has_an_end(reader: LogReader) -> None:
    harness = await harness_with(numbered(10))
    page = await Reading(reader, harness.logs, state_of(harness.job), harness.job.log_next, LogSelection()).page(
        0, 4, 1
    )
    assert page.rest == LogSelection(until=10)
    await harness.add(*numbered(20)[10:])
    assert seqs(await answers(harness, reader, page.rest, since=page.next)) == list(range(4, 10))


@pytest.mark.parametrize(
    ("select", "says"),
    [
        (LogSelection(grep="("), "missing )"),
        (LogSelection(grep="(?=x)"), "invalid perl operator"),
        (LogSelection(grep=r"(a)\1"), "invalid escape"),
        (LogSelection(grep="((a{100}){100}){100}"), "invalid repetition"),
        (LogSelection(grep="x{900}" * 10), "the pattern is too large"),
        (LogSelection(grep="\ud800"), "a lone surrogate"),
        (LogSelection(context=3), "'context' needs 'grep'"),
    ],
)
async def test_what_can_not_be_searched_for_is_refused_with_a_sentence(
    reader: LogReader, select: LogSelection, says: str
) -> None:
    harness = await harness_with(numbered(1))
    with pytest.raises(BadRequest, match=says.replace(")", r"\)")) as caught:
        await answers(harness, reader, select)
    assert caught.value.field in ("grep", "context")
    harness.logs.flush()


class GatedReader(LogReader):
    """Its threads begin when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    async def apart(self, work: Callable[..., R], *arguments: object) -> R:
        def gated() -> R:
            self.entered.set()
            assert self.go.wait(30)
            return work(*arguments)

        return await super().apart(gated)


async def test_a_hostile_pattern_on_hostile_lines_leaves_the_loop_free() -> None:
    """A backtracking engine would take longer than the universe for the first of these lines, and hold the loop."""
    reader = GatedReader()
    harness = await harness_with([LogLine(n, 1, 0, "a" * 60_000 + "!") for n in range(20)])
    asking = asyncio.ensure_future(answers(harness, reader, LogSelection(grep="^(a|aa|a?a)+(a*)*$")))
    while not reader.entered.is_set():
        assert not asking.done(), "it was searched on the event loop"
        await asyncio.sleep(0)
    reader.go.set()
    assert texts(await asking) == []
    reader.close()


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):",
        "ValueError: bad",
        "java.lang.NullPointerException",
        "main.c:3:1: error: expected ';'",
        "thread 'main' panicked at src/main.rs",
        "make: *** [Makefile:3: all] Error 2",
        "cat: x: No such file or directory",
        "sh: 1: foo: not found",
        "Segmentation fault (core dumped)",
        "FAILED tests/test_x.py::test",
    ],
)
def test_looks_like_an_error(text: str) -> None:
    assert looks_like_error(text)


@pytest.mark.parametrize(
    "text",
    ["0 errors", "no error", "compiled without errors", "errors: 0", "warning: error ahead", "terror", "all is well"],
)
def test_does_not_look_like_an_error(text: str) -> None:
    assert not looks_like_error(text)
