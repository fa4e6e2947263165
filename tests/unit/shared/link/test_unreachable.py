"""Why a hub can't be reached, in one sentence that names the host and says what to look at."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from asman_shared.link.unreachable import hung_up, no_hub, unreachable, wrong_status

HOST = "hub.example:443"


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "self-signed certificate"
    return error


def broken_tls() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (socket.gaierror(-2, "unknown"), "there is no host named 'hub.example': check the queue's address"),
        (untrusted(), "the certificate of hub.example:443 can't be trusted: self-signed certificate"),
        (
            broken_tls(),
            "no secure connection to hub.example:443 could be made (WRONG_VERSION_NUMBER): does it speak https?",
        ),
        (TimeoutError(), "nothing answered at hub.example:443 within 2.5 seconds"),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
            "nothing listens at hub.example:443: is the hub running?",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"),
            "nothing listens at hub.example:443: is the hub running?",
        ),
        (
            OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)),
            "hub.example:443 can't be reached: No route to host",
        ),
        (OSError("something odd"), "hub.example:443 can't be reached: something odd"),
    ],
)
def test_each_error_has_its_sentence(error: OSError, sentence: str) -> None:
    assert unreachable(error, HOST, 2.5) == sentence


def test_a_host_without_a_port_is_named_as_it_is() -> None:
    assert "'hub'" in unreachable(socket.gaierror(), "hub", 1)


def test_answers_that_no_hub_gives_have_sentences_too() -> None:
    assert wrong_status(502, HOST).startswith("hub.example:443 answered with HTTP status 502")
    assert "closed the connection before it answered" in hung_up(HOST)
    assert no_hub(HOST) == "the server at hub.example:443 is not an Asman hub"
