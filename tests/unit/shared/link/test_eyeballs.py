"""The first address that answers is taken, and a host is given up only when all of its addresses fail."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asman_shared.link.eyeballs import _interleaved, connect_first
from devtools.ports import free_port
from tests.unit.shared.link.test_dial import silent_port

SILENT = "127.0.0.2"
PATIENCE = 30


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A port that answers here, and that is silent at another address."""
    port, held = silent_port(SILENT)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        listening.listen()
        yield listening
    for each in held:
        each.close()


def lead_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    def found(_host: str, _port: int, **_more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_an_address_that_does_not_answer_hides_no_other(door: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    port = door.getsockname()[1]
    lead_to(monkeypatch, (SILENT, port), ("127.0.0.1", port))
    with connect_first(("hub.test", port), PATIENCE) as made:
        assert made.getpeername() == ("127.0.0.1", port)
        assert made.gettimeout() == PATIENCE


def test_after_an_address_that_refuses_the_next_is_tried_at_once(
    door: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = door.getsockname()[1]
    monkeypatch.setattr("asman_shared.link.eyeballs.EYEBALLS_SECONDS", 2 * PATIENCE)
    lead_to(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", port))
    begun = time.monotonic()
    connect_first(("hub.test", port), PATIENCE).close()
    assert time.monotonic() - begun < PATIENCE


def test_a_host_of_which_all_addresses_refuse_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", free_port()))
    with pytest.raises(OSError, match="refused") as caught:
        connect_first(("hub.test", 1), PATIENCE)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_host_of_which_no_address_answers_is_given_up_in_time(
    door: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(monkeypatch, (SILENT, door.getsockname()[1]))
    with pytest.raises(TimeoutError):
        connect_first(("hub.test", 1), 0.1)


def test_the_families_take_turns() -> None:
    found = [(family, at) for at, family in enumerate((10, 10, 10, 2, 2))]
    assert _interleaved(found) == [(10, 0), (2, 3), (10, 1), (2, 4), (10, 2)]
