"""The crowd of subscribers counts right, however what comes is cut."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bench.crowd import Crowd, _Dialled

TOKEN = b"abcab"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("cuts", [[], [1], [3], [4], [5], [2, 4], [1, 2, 3, 4, 6, 9], [7, 11], list(range(1, 20))])
def test_a_token_counts_once_however_it_is_cut(pair: tuple[socket.socket, socket.socket], cuts: list[int]) -> None:
    ours, theirs = pair
    sent = b"abcab-abcabxxab-abcab"
    crowd = Crowd()
    dialled = _Dialled(ours, reading=True)
    crowd._take(dialled)
    crowd.expect(TOKEN, 3)
    ends: list[bool] = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        theirs.sendall(sent[start:end])
        ends.append(crowd._read(dialled))
    assert dialled.count == 3
    assert ends == [False] * len(cuts) + [True]


def test_pings_are_answered_also_between_other_frames(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    crowd = Crowd()
    dialled = _Dialled(ours, reading=True)
    crowd._take(dialled)
    theirs.sendall(b"\x82\x03xyz" + b"\x89\x041234" + b"\x82\x7e\x00\x80" + b"z" * 128 + b"\x89\x045678")
    crowd._read(dialled)
    assert theirs.recv(100) == b"\x8a\x84\0\0\0\x001234" + b"\x8a\x84\0\0\0\x005678"


def test_who_is_gone_is_counted_no_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    crowd = Crowd()
    dialled = _Dialled(ours, reading=True)
    crowd._take(dialled)
    theirs.close()
    assert not crowd._read(dialled)
    crowd.expect(TOKEN, 1)
    assert crowd._left == 0
