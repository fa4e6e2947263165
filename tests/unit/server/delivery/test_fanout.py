"""Changes: numbered without gaps, encoded once, remembered for a while."""

from __future__ import annotations

import pytest

from asman_server.delivery import fanout as module
from asman_server.delivery.fanout import Fanout
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.messages import Changed, Counts, CountsChanged, JobState, Summary, WorkerChanged, WorkerState
from asman_shared.states import State


class Client:
    """A subscriber that keeps what it is told."""

    def __init__(self) -> None:
        self.encoded_messages: list[EncodedMessage] = []

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        assert isinstance(encoded.message, Changed)
        assert encoded.message.job is state
        self.encoded_messages.append(encoded)

    def announce(self, encoded: EncodedMessage) -> None:
        self.encoded_messages.append(encoded)

    @property
    def seqs(self) -> list[int]:
        return [p.message.seq for p in self.encoded_messages if isinstance(p.message, Changed | WorkerChanged)]


def state(name: str, rev: int = 1, summary: bool = False) -> JobState:
    return JobState(id=name, rev=rev, state=State.QUEUED, summary=Summary(image="a") if summary else None)


def numbers(encoded_messages: list[EncodedMessage] | None) -> list[int] | None:
    if encoded_messages is None:
        return None
    return [p.message.seq for p in encoded_messages if isinstance(p.message, Changed | WorkerChanged)]


@pytest.fixture
def fanout() -> Fanout:
    return Fanout(Counts)


def test_watchers_get_every_change_numbered_without_gaps(fanout: Fanout) -> None:
    client = Client()
    fanout.watch(client)
    for number in range(5):
        fanout.job(state(f"j{number}"), first=True)
        fanout.worker(WorkerState(id="w", rev=number, state="ready"))
    assert client.seqs == list(range(1, 11))


def test_followers_get_their_job_alone_and_nobody_gets_a_change_twice(fanout: Fanout) -> None:
    follower, both = Client(), Client()
    fanout.follow("a", follower)
    fanout.watch(both)
    fanout.job(state("a"), first=True)
    fanout.job(state("b"), first=True)
    assert (follower.seqs, both.seqs) == ([1], [1, 2])
    fanout.unfollow("a", follower)
    fanout.unfollow("a", follower)
    fanout.unfollow("zzz", follower)
    fanout.job(state("a", 2), first=False)
    assert (follower.seqs, both.seqs) == ([1], [1, 2, 3])
    fanout.unwatch(both)
    fanout.unwatch(both)
    fanout.job(state("a", 3), first=False)
    assert both.seqs == [1, 2, 3]
    assert (fanout.watchers, fanout.followers) == ({}, {})


def test_a_change_is_encoded_once_for_all(fanout: Fanout) -> None:
    clients = [Client() for _ in range(3)]
    for client in clients:
        fanout.watch(client)
    fanout.job(state("a"), first=True)
    assert len({id(client.encoded_messages[0].bytes_in(Language.MSGPACK)) for client in clients}) == 1


def test_the_summary_travels_with_the_first_change_which_nothing_replaces(fanout: Fanout) -> None:
    client = Client()
    fanout.watch(client)
    fanout.job(state("a", 1, summary=True), first=True)
    fanout.job(state("a", 2, summary=True), first=False)
    first, later = (p.message for p in client.encoded_messages)
    assert isinstance(first, Changed)
    assert isinstance(later, Changed)
    assert first.job.summary is not None
    assert later.job.summary is None
    assert [p.key for p in client.encoded_messages] == [None, "a"]


def test_what_was_missed_is_exact(fanout: Fanout) -> None:
    for number in range(10):
        fanout.job(state(f"j{number}"), first=True)
    assert numbers(fanout.missed(fanout.epoch, 0)) == list(range(1, 11))
    assert numbers(fanout.missed(fanout.epoch, 7)) == [8, 9, 10]
    assert numbers(fanout.missed(fanout.epoch, 10)) == []


def test_what_is_too_old_from_another_life_or_from_the_future_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WINDOW", 4)
    fanout = Fanout(Counts)
    assert fanout.missed(fanout.epoch, 0) == []
    for number in range(10):
        fanout.job(state(f"j{number}"), first=True)
    assert numbers(fanout.missed(fanout.epoch, 6)) == [7, 8, 9, 10]
    assert fanout.missed(fanout.epoch, 5) is None
    assert fanout.missed(fanout.epoch, 11) is None
    assert fanout.missed("another epoch", 9) is None
    assert Fanout(Counts).epoch != fanout.epoch


def test_totals_are_told_when_they_change_and_somebody_listens() -> None:
    counts = Counts(queued=1)
    fanout = Fanout(lambda: counts)
    fanout.totals()
    client = Client()
    fanout.watch(client)
    fanout.totals()
    fanout.totals()
    assert [p.message for p in client.encoded_messages] == [CountsChanged(counts=Counts(queued=1))]
    counts = Counts(queued=2)
    fanout.totals()
    assert len(client.encoded_messages) == 2
    assert {p.key for p in client.encoded_messages} == {"counts"}
