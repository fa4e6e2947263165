"""Order of what a client is told of the runs of one job."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.sessions.client import ClientSession
from asman_shared.definition import Definition
from asman_shared.encoded import EncodedMessage
from asman_shared.messages import Accepted, Cancelled, Changed, Job, JobState, Message
from asman_shared.states import State

JOB = "ab" * 32


class Follow:
    """A log that is not sent to its end, so that the end of its run is held back."""

    def __init__(self, ended: JobState | None, told: list[Any], logs: dict[str, Any]) -> None:
        self.ended = ended
        self._told = told
        self._logs = logs

    def cut_short(self) -> None:
        self._told.append(self.ended)
        del self._logs[JOB]

    def finish(self, state: JobState, encoded: EncodedMessage | None) -> None:
        self.ended = state


class Session(ClientSession):
    """A session without a socket, which keeps what it says."""

    def __init__(self) -> None:
        self._logs: dict[str, Any] = {}
        self._followed: set[str] = set()
        self._whole = False
        self.told: list[Any] = []
        self.send_buffer = self  # type: ignore[assignment]

    def push(self, encoded: EncodedMessage) -> None:
        assert isinstance(encoded.message, Changed)
        self.told.append(encoded.message.job)

    def say(self, message: Message) -> None:
        assert isinstance(message, Accepted | Cancelled | Job)
        self.told.append(message.job)


def state(queued: int, *, over: bool = False) -> JobState:
    return JobState(id=JOB, rev=1, state=State.FINISHED if over else State.RUNNING, queued=queued)


@pytest.fixture
def session() -> Session:
    made = Session()
    made._logs[JOB] = Follow(state(5, over=True), made.told, made._logs)
    return made


LATER = state(9)


@pytest.mark.parametrize(
    "answer",
    [
        Accepted(ref=1, answer="queued", job=LATER),
        Cancelled(ref=1, released=False, job=LATER),
        Job(ref=1, job=LATER, definition=Definition(image="a")),
        None,
    ],
)
def test_the_end_of_an_earlier_run_that_waits_for_its_log_is_told_before_a_later_one(
    session: Session, answer: Message | None
) -> None:
    if answer is not None:
        session._tell(answer)
    else:
        session.changed(EncodedMessage(Changed(seq=1, job=LATER)), LATER)
    assert [each.queued for each in session.told] == [5, 9]


def test_an_answer_about_the_same_run_leaves_its_end_behind_its_lines(session: Session) -> None:
    session._tell(Accepted(ref=1, answer="cached", job=state(5, over=True)))
    assert [each.queued for each in session.told] == [5]
    assert JOB in session._logs


def test_a_run_that_goes_on_is_not_cut_short(session: Session) -> None:
    session._logs[JOB] = Follow(None, session.told, session._logs)
    session._tell(Accepted(ref=1, answer="joined", job=state(5)))
    assert JOB in session._logs
