"""Lines picked out of a log that comes in pages: what is wanted, what is around it, and where it stopped."""

from __future__ import annotations

import pytest

from asman_server.logs.select import LineFilter, cut_to, gaps, wanted_by, weight
from asman_shared.messages import STDERR, STDOUT, Gap, LogLine, LogSelection
from asman_shared.states import Phase


def line(seq: int, text: str = "", stream: int = STDOUT, phase: Phase = Phase.RUNNING) -> LogLine:
    return LogLine(seq, 1000, stream, text or f"line {seq}", phase)


def lines(*texts: str) -> list[LogLine]:
    return [line(seq, text) for seq, text in enumerate(texts)]


def seqs(taken: LineFilter) -> list[int]:
    return [each.seq for each in taken.taken]


def is_x(text: str) -> bool:
    return text == "x"


def test_without_a_wish_every_line_is_wanted() -> None:
    assert wanted_by(LogSelection()) is None


@pytest.mark.parametrize(
    ("select", "found"),
    [
        (LogSelection(streams=["stderr"]), [1, 3]),
        (LogSelection(phases=[Phase.BUILDING]), [2, 3]),
        (LogSelection(streams=["stderr"], phases=[Phase.BUILDING]), [3]),
    ],
)
def test_streams_and_phases_are_both_asked_of_a_line(select: LogSelection, found: list[int]) -> None:
    every = [
        line(0),
        line(1, stream=STDERR),
        line(2, phase=Phase.BUILDING),
        line(3, stream=STDERR, phase=Phase.BUILDING),
    ]
    wanted = wanted_by(select)
    assert wanted is not None
    assert [each.seq for each in every if wanted(each)] == found


@pytest.mark.parametrize(("text", "size"), [("", 1), ("abc", 4), ("é", 3), ("\ud800", 2)])
def test_a_line_weighs_its_bytes_and_its_end(text: str, size: int) -> None:
    assert weight(LogLine(0, 0, STDOUT, text)) == size


@pytest.mark.parametrize(("size", "text"), [(0, ""), (1, ""), (2, "a"), (3, "a"), (4, "aé"), (9, "aéb")])
def test_a_line_is_cut_between_characters(size: int, text: str) -> None:
    cut = cut_to(line(0, "aéb"), size)
    assert cut.text == text
    assert weight(cut) <= max(size, 1)


@pytest.mark.parametrize(
    ("there", "since", "end", "missing"),
    [
        ([], 0, 0, []),
        ([], 3, 3, []),
        ([], 3, 7, [Gap(3, 7)]),
        ([0, 1, 2], 0, 0, []),
        ([0, 1, 2], 0, 3, []),
        ([0, 1, 2], 0, 5, [Gap(3, 5)]),
        ([2, 3], 0, 0, [Gap(0, 2)]),
        ([0, 3, 4, 9], 0, 12, [Gap(1, 3), Gap(5, 9), Gap(10, 12)]),
    ],
)
def test_missing_lines_are_ranges(there: list[int], since: int, end: int, missing: list[Gap]) -> None:
    assert gaps([line(seq) for seq in there], since, end) == missing


def test_a_filter_without_a_pattern_picks_what_is_wanted() -> None:
    picked = LineFilter(lambda each: each.seq % 2 == 0, None, 0, page=100)
    assert not picked.take(lines(*"abcde"))
    assert seqs(picked) == [0, 2, 4]
    assert (picked.edge, picked.complete, picked.resume(5)) == (4, False, 5)


def test_a_match_comes_with_the_lines_around_it_and_no_line_twice() -> None:
    picked = LineFilter(None, is_x, 1, page=100)
    picked.take(lines("a", "b", "x", "d", "x", "f", "g"))
    assert seqs(picked) == [1, 2, 3, 4, 5]


def test_context_goes_on_into_the_next_page_and_back_into_the_page_before() -> None:
    picked = LineFilter(None, is_x, 2, page=100)
    picked.take([line(0, "a"), line(1, "b")])
    assert picked.resume(2) == 0, "the lines before a match that may come are read again"
    picked.take([line(2, "x"), line(3, "d")])
    assert picked.remaining_context == 1
    picked.take([line(4, "e"), line(5, "f")])
    assert seqs(picked) == [0, 1, 2, 3, 4]


def test_another_filter_goes_on_where_a_full_page_stopped() -> None:
    every = lines("a", "x", "c", "d", "x", "f", "g")
    first = LineFilter(None, is_x, 1, page=2)
    assert first.take(every)
    assert (seqs(first), first.full, first.done) == ([0, 1], True, False)
    rest = LineFilter(None, is_x, 1, page=100, remaining_context=first.remaining_context)
    rest.take(every[first.resume(7) :])
    assert seqs(first) + seqs(rest) == [0, 1, 2, 3, 4, 5]


def test_a_count_is_of_matches_and_their_context_comes_along() -> None:
    picked = LineFilter(None, is_x, 1, count=1, page=100)
    assert picked.take(lines("x", "b", "x", "d"))
    assert (seqs(picked), picked.done, picked.complete) == ([0, 1], True, True)


def test_bytes_are_picked_up_to_the_size_and_the_last_line_is_cut() -> None:
    exact = LineFilter(None, None, 0, size=6, page=100)
    exact.take(lines("ab", "cd"))
    assert (seqs(exact), exact.size, exact.cut) == ([0, 1], 0, False)
    short = LineFilter(None, None, 0, size=5, page=100)
    short.take(lines("ab", "cd"))
    assert ([each.text for each in short.taken], short.cut) == (["ab", "c"], True)


def test_a_line_of_which_nothing_fits_is_not_picked() -> None:
    picked = LineFilter(None, None, 0, size=4, page=100)
    assert picked.take(lines("ab", "cd"))
    assert (seqs(picked), picked.cut, picked.done, picked.resume(2)) == ([0], True, True, 1)


def test_without_a_page_nothing_is_collected_and_the_edge_is_known() -> None:
    picked = LineFilter(None, None, 0, count=2)
    assert picked.take(lines("a", "b", "c"))
    assert (picked.taken, picked.edge, picked.count) == ([], 1, 0)
