"""Which addresses a webhook may go to."""

from __future__ import annotations

import socket

import pytest

from asman_server.webhooks.guard import ClosedAddress, closed_host, guarded_socket


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.0.0.1.", "::1", "10.1.2.3", "0.0.0.0"]
)
def test_a_closed_host_is_known_without_asking_for_its_address(host: str) -> None:
    assert closed_host(host) is not None


def test_other_names_are_judged_when_they_are_connected_to() -> None:
    assert closed_host("hooks.example.org") is None
    assert closed_host("8.8.8.8") is None


def test_the_socket_itself_is_refused() -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    with pytest.raises(ClosedAddress, match="loopback"):
        guarded_socket((*kind, ("127.0.0.1", 80)))
    guarded_socket((*kind, ("8.8.8.8", 80))).close()
