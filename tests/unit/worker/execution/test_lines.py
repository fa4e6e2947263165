"""Bytes become lines, however they were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared import limits
from asman_shared.messages import CRLF, LF, LINE_ENDS, NO_END
from asman_worker.execution.lines import LineSplitter, Piece


def pieces_of(*chunks: bytes, limit: int = limits.LOG_LINE_BYTES) -> list[Piece]:
    splitter = LineSplitter(limit)
    lines: list[Piece] = []
    for chunk in chunks:
        lines += splitter.feed(chunk)
    return lines + splitter.flush()


def split(*chunks: bytes, limit: int = limits.LOG_LINE_BYTES) -> list[str]:
    return [text for text, _ in pieces_of(*chunks, limit=limit)]


def joined(pieces: list[Piece]) -> str:
    return "".join(text + LINE_ENDS[end] for text, end in pieces)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"\n", [""]),
        (b"\n\n", ["", ""]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"10%\r20%\rdone\n", ["10%\r", "20%\r", "done"]),
        (b"a\r", ["a\r"]),
        (b"a\r\r\n", ["a\r", ""]),
        (b"\r\n", [""]),
        (b"\xff\n", ["�"]),
        (b"\xe2\x82", ["�"]),
        ("a\u2028b\x0bc\n".encode(), ["a\u2028b\x0bc"]),
    ],
)
def test_a_line_ends_at_its_end_and_nowhere_else(data: bytes, lines: list[str]) -> None:
    assert split(data) == lines


def test_a_character_cut_by_the_pipe_is_whole_again() -> None:
    data = "täß€😀\n".encode()
    assert split(*(data[i : i + 1] for i in range(len(data)))) == ["täß€😀"]


def test_an_end_of_line_cut_by_the_pipe_is_one_end() -> None:
    assert split(b"a\r", b"\nb") == ["a", "b"]


def test_lines_come_as_soon_as_they_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"a\nb") == [("a", LF)]
    assert splitter.partial
    assert splitter.feed(b"\n") == [("b", LF)]
    assert not splitter.partial


def test_a_long_line_is_cut_at_the_limit_between_characters() -> None:
    lines = split("€".encode() * 10, limit=8)
    assert lines == ["€€"] * 5
    assert all(len(line.encode()) <= 8 for line in lines)


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    splitter = LineSplitter(100)
    got = [line for _ in range(1000) for line, _ in splitter.feed(b"x" * 10)]
    assert sum(map(len, got)) >= 9900
    assert {len(line) for line in got} == {100}


def test_a_carriage_return_does_not_make_a_line_longer_than_the_limit() -> None:
    """A hub keeps no longer lines: it would cut a character off."""
    made = pieces_of(b"abcd\rabc\rabcd\r\n", limit=4)
    assert made == [("abcd", NO_END), ("\r", NO_END), ("abc\r", NO_END), ("abcd", CRLF)]


def test_a_line_of_exactly_the_limit_is_one() -> None:
    assert split(b"x" * 8 + b"\n" + b"y" * 8, limit=8) == ["x" * 8, "y" * 8]


PIECES = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bcd", "é".encode(), "😀".encode(), b"\xff", b"\xe2\x82", b"x" * 9])
)


@given(pieces=PIECES, cuts=st.lists(st.integers(0, 200)), limit=st.integers(4, 12))
def test_any_chunking_gives_the_same_lines(pieces: list[bytes], cuts: list[int], limit: int) -> None:
    data = b"".join(pieces)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    whole = pieces_of(data, limit=limit)
    assert pieces_of(*chunks, limit=limit) == whole
    assert pieces_of(*(data[i : i + 1] for i in range(len(data))), limit=limit) == whole


@given(pieces=PIECES, limit=st.integers(4, 12))
def test_texts_and_ends_are_all_that_was_written(pieces: list[bytes], limit: int) -> None:
    data = b"".join(pieces)
    assert joined(pieces_of(data, limit=limit)) == data.decode("utf-8", "replace")


def test_only_the_last_piece_of_a_long_line_has_an_end_and_a_last_line_may_have_none() -> None:
    ends = [end for _, end in pieces_of(b"x" * 20 + b"\n" + b"y" * 9 + b"\r\nz\rlast", limit=8)]
    assert ends == [NO_END, NO_END, LF, NO_END, CRLF, NO_END, NO_END]
