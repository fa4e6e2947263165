"""Claims about whose runs nothing is proved yet."""

from __future__ import annotations

import pytest

from asman_server.dialect.unproved import UnprovedClaims


class Asked:
    """A worker that is asked for its status."""

    def __init__(self, claims: UnprovedClaims) -> None:
        self.claims = claims
        self.reachable = True
        self.times = 0

    def __call__(self) -> bool:
        if not self.reachable:
            return False
        self.claims.sent()
        self.times += 1
        return True


@pytest.fixture
def claims() -> UnprovedClaims:
    return UnprovedClaims()


def test_what_is_sent_after_the_answer_is_proof_and_what_is_sent_before_is_not(claims: UnprovedClaims) -> None:
    ask = Asked(claims)
    claims.granted("a", 1.0)
    claims.heard("a")
    claims.ask(ask)
    claims.heard("a")
    assert claims
    claims.answered()
    claims.heard("other")
    assert claims
    claims.heard("a")
    assert not claims


def test_the_answer_to_an_earlier_request_proves_nothing(claims: UnprovedClaims) -> None:
    ask = Asked(claims)
    ask()  # as a worker is asked when it registers
    claims.granted("a", 1.0)
    claims.ask(ask)
    claims.answered()
    claims.heard("a")
    assert claims
    claims.answered()
    claims.heard("a")
    assert not claims


def test_answers_that_nobody_asked_for_do_not_count(claims: UnprovedClaims) -> None:
    ask = Asked(claims)
    for _ in range(5):
        claims.answered()
    claims.granted("a", 1.0)
    claims.ask(ask)
    claims.heard("a")
    assert claims


def test_one_request_stands_for_all_claims_before_it(claims: UnprovedClaims) -> None:
    ask = Asked(claims)
    ask.reachable = False
    claims.granted("a", 1.0)
    claims.ask(ask)
    claims.granted("b", 2.0)
    ask.reachable = True
    claims.ask(ask)
    claims.ask(ask)
    assert ask.times == 1
    assert claims.oldest() == 1.0
    claims.answered()
    claims.heard("a")
    assert claims.oldest() == 2.0
    claims.heard("b")
    assert not claims


def test_jobs_that_the_worker_no_longer_has_are_forgotten(claims: UnprovedClaims) -> None:
    claims.granted("a", 1.0)
    claims.granted("b", 2.0)
    claims.keep({"b"})
    assert claims.oldest() == 2.0
    claims.keep(())
    assert not claims
