"""The session without a socket: repeated requests, followed jobs, and the order of states."""

from __future__ import annotations

import asyncio

import pytest

from asman.session import Session
from asman.tracking import Tracker
from asman_shared import messages as m
from asman_shared.definition import Definition
from asman_shared.errors import BadDefinition, ConnectionFailed, NotFound, ProtocolError, TimedOut
from asman_shared.identity import job_id
from asman_shared.states import Phase, Reason, State

DEFINITION = Definition(command="true")
JOB = job_id(DEFINITION)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Session:
    made = Session(clock)
    made.opened(welcome())
    return made


def welcome(epoch: str = "e1", seq: int = 0, *, recovered: bool = False, time: int = 1000) -> m.Welcome:
    return m.Welcome(1, "hub", epoch, seq, time, recovered=recovered)


def state(rev: int, where: State = State.QUEUED, **more: object) -> m.JobState:
    verdict = m.Verdict(ok=True, reason=Reason.SUCCESS, exit_code=0) if where is State.FINISHED else None
    return m.JobState(JOB, rev, where, verdict=verdict, **more)  # type: ignore[arg-type]


def submit(reuse: str = "any") -> m.Submit:
    return m.Submit(ref=0, definition=DEFINITION, reuse=reuse)  # type: ignore[arg-type]


async def test_an_answer_reaches_its_request_once(session: Session) -> None:
    first, second = session.ask(m.Workers(0)), session.ask(m.Workers(0))
    session.received([m.WorkerPage(2, []), m.WorkerPage(2, [m.WorkerState("w", 1, "ready")])])
    assert not first.done()
    assert second.result() == m.WorkerPage(2, [])
    session.received([m.WorkerPage(1, [])])
    assert first.done()
    assert session.unanswered == 0


async def test_a_hub_error_is_the_exception_of_its_code(session: Session) -> None:
    future = session.ask(submit())
    session.received([m.Error("bad_definition", "no", ref=1, field="definition.image")])
    with pytest.raises(BadDefinition, match="no") as caught:
        await future
    assert caught.value.field == "definition.image"


async def test_unanswered_requests_are_said_again_in_order_and_answered_ones_are_not(session: Session) -> None:
    asked = [session.ask(message) for message in (submit(), m.Workers(0), m.Get(0, JOB))]
    session.received([m.WorkerPage(2, [])])
    session.closed()
    again = session.opened(welcome("e2"))
    assert [type(message) for message in again] == [m.Submit, m.Get]
    assert [getattr(message, "ref", None) for message in again] == [1, 3]
    assert asked[1].done()


async def test_a_request_made_without_a_connection_goes_out_with_the_next(session: Session) -> None:
    session.closed()
    session.ask(m.Workers(0))
    assert [type(message) for message in session.opened(welcome())] == [m.Workers]


async def test_a_request_that_was_given_up_is_not_said_again(session: Session) -> None:
    session.ask(m.Workers(0)).cancel()
    await asyncio.sleep(0)
    session.closed()
    assert session.opened(welcome()) == []


@pytest.mark.parametrize("first", ["never", "success"])
@pytest.mark.parametrize(
    ("answer", "reuse"),
    [
        (lambda ref: m.Job(ref, state(3, State.RUNNING), DEFINITION), "any"),
        (lambda ref: m.Job(ref, state(3, State.FINISHED, queued=900), DEFINITION), ""),
        (lambda ref: m.Error("not_found", "no such job", ref=ref), ""),
    ],
)
async def test_a_run_is_looked_for_before_it_is_asked_for_again(
    session: Session, clock: Clock, answer: object, reuse: str, first: str
) -> None:
    clock.now += 0.2  # it is 1200 on the hub's clock
    future = session.ask(submit(first))
    session.closed()
    (probe,) = session.opened(welcome("e2", time=9000))
    assert isinstance(probe, m.Get)
    assert probe.job == JOB
    (again,) = session.received([answer(probe.ref)])  # type: ignore[operator]
    assert isinstance(again, m.Submit)
    assert (again.ref, again.reuse) == (1, reuse or first)
    session.received([m.Accepted(1, "queued", state(4))])
    assert future.done()


@pytest.mark.parametrize("first", ["never", "success"])
async def test_a_run_that_is_over_by_then_is_the_answer_and_does_not_begin_again(
    session: Session, clock: Clock, first: str
) -> None:
    clock.now += 0.2  # it is 1200 on the hub's clock
    future = session.ask(submit(first))
    session.closed()
    (probe,) = session.opened(welcome("e2", time=9000))
    ended = state(3, State.FINISHED, queued=1500)
    assert isinstance(probe, m.Get)
    assert session.received([m.Job(probe.ref, ended, DEFINITION)]) == []
    assert future.result() == m.Accepted(1, "queued", ended)


async def test_a_forced_run_that_never_went_out_is_just_sent(session: Session) -> None:
    session.closed()
    session.ask(submit("never"))
    (message,) = session.opened(welcome("e2"))
    assert isinstance(message, m.Submit)
    assert message.reuse == "never"


async def test_a_broken_probe_is_made_again_on_the_next_connection(session: Session) -> None:
    session.ask(submit("never"))
    session.closed()
    session.opened(welcome("e2"))
    session.closed()
    again = session.opened(welcome("e3"))
    assert [type(message) for message in again] == [m.Get]


async def test_an_older_revision_never_replaces_a_newer(session: Session) -> None:
    tracker = Tracker()
    session.ask(submit(), tracker)
    session.received([m.Accepted(1, "queued", state(1, summary=m.Summary(image="alpine")))])
    session.received([m.Changed(5, state(3, State.RUNNING)), m.Changed(4, state(2))])
    assert tracker.state is not None
    assert (tracker.state.rev, tracker.state.state) == (3, State.RUNNING)
    assert tracker.state.summary == m.Summary(image="alpine")
    assert session.resume == m.Resume("e1", 5)


async def test_a_push_right_behind_the_answer_is_not_lost(session: Session) -> None:
    tracker = Tracker()
    session.ask(submit(), tracker)
    session.received([m.Accepted(1, "queued", state(1)), m.Changed(1, state(2, State.FINISHED))])
    assert tracker.verdict is not None


async def test_an_ended_run_stays_ended_for_its_handle(session: Session) -> None:
    tracker = Tracker()
    session.ask(submit(), tracker)
    session.received([m.Accepted(1, "queued", state(1)), m.Changed(1, state(2, State.FINISHED))])
    session.received([m.Changed(2, state(3, State.QUEUED))])
    assert tracker.state is not None
    assert tracker.state.state is State.FINISHED


async def test_how_far_a_phase_is_belongs_to_that_phase_of_that_attempt_and_wakes_who_waits(session: Session) -> None:
    def pull(done: int, attempt: int = 1, phase: Phase = Phase.PULLING) -> m.PhaseProgress:
        return m.PhaseProgress(JOB, attempt, phase, done, 10, "bytes")

    tracker = Tracker()
    session.ask(submit(), tracker)
    pulling = state(1, State.RUNNING, attempt=1, phase=Phase.PULLING)
    session.received([pull(1), m.Accepted(1, "queued", pulling)])
    assert tracker.progress is None
    waiting = asyncio.create_task(tracker.change())
    await asyncio.sleep(0)
    session.received([pull(2)])
    await waiting
    assert tracker.progress == pull(2)
    building = pull(9, phase=Phase.BUILDING)
    session.received([building])
    assert tracker.progress is None
    session.received([m.Changed(1, state(2, State.RUNNING, attempt=1, phase=Phase.BUILDING))])
    assert tracker.progress == building
    session.received([m.Changed(2, state(3, State.RUNNING, attempt=2, phase=Phase.BUILDING))])
    assert tracker.progress is None


async def test_followed_jobs_are_followed_again_from_the_next_line(session: Session) -> None:
    tracker = Tracker()
    session.ask(submit(), tracker)
    session.received([m.Accepted(1, "queued", state(1))])
    tail = session.tail(tracker, JOB, 0)
    session.received([m.LogLines(JOB, [m.LogLine(0, 1, 0, "a"), m.LogLine(1, 1, 0, "b")])])
    session.closed()
    (follow,) = session.opened(welcome("e2"))
    assert isinstance(follow, m.Follow)
    assert (follow.job, follow.logs, follow.since) == (JOB, True, 2)
    session.received([m.LogLines(JOB, [m.LogLine(1, 1, 0, "b"), m.LogLine(2, 1, 0, "c")])])
    texts = []
    while lines := tail.pop():
        texts += [line.text for line in lines]
    assert texts == ["a", "b", "c"]
    session.received([m.Following(follow.ref, active=True, job=state(0, State.FINISHED))])
    assert tracker.verdict is not None, "a snapshot counts whatever its revision"


async def test_finished_and_forgotten_jobs_are_not_followed_again(session: Session) -> None:
    done, gone = Tracker(), Tracker()
    session.ask(submit(), done)
    session.ask(submit(), gone)
    session.received([m.Accepted(1, "queued", state(1)), m.Accepted(2, "joined", state(1))])
    del gone
    session.received([m.Changed(1, state(2, State.FINISHED))])
    session.closed()
    assert session.opened(welcome("e2")) == []


async def test_a_job_that_the_hub_forgot_meanwhile_fails_who_waits(session: Session) -> None:
    tracker = Tracker()
    session.ask(submit(), tracker)
    session.received([m.Accepted(1, "queued", state(1))])
    session.closed()
    (follow,) = session.opened(welcome("e2"))
    assert isinstance(follow, m.Follow)
    session.received([m.Error("not_found", "no such job", ref=follow.ref)])
    with pytest.raises(NotFound):
        await tracker.change()


async def test_the_place_to_resume_from(session: Session) -> None:
    assert Session(lambda: 0.0).resume is None
    session.received([m.Changed(7, state(1)), m.WorkerChanged(8, m.WorkerState("w", 1, "ready"))])
    assert session.resume == m.Resume("e1", 8)
    session.closed()
    session.opened(welcome("e1", 20, recovered=True))
    assert session.resume == m.Resume("e1", 8), "what was missed is still to come"
    session.closed()
    session.opened(welcome("e2", 3))
    assert session.resume == m.Resume("e2", 3)


async def test_only_requests_on_an_open_connection_expire(session: Session, clock: Clock) -> None:
    future = session.ask(m.Workers(0))
    clock.now += 10
    session.closed()
    session.expire(5)
    assert not future.done()
    session.opened(welcome("e2"))
    clock.now += 4
    session.expire(5)
    assert not future.done()
    clock.now += 2
    session.expire(5)
    with pytest.raises(TimedOut):
        await future


async def test_the_end_fails_everything(session: Session) -> None:
    tracker = Tracker()
    session.ask(submit(), tracker)
    session.received([m.Accepted(1, "queued", state(1))])
    waiting = session.ask(m.Workers(0))
    session.fail(ConnectionFailed("gone"))
    with pytest.raises(ConnectionFailed):
        await waiting
    with pytest.raises(ConnectionFailed):
        await tracker.change()


async def test_pings_are_answered_and_unreadable_answers_are_errors(session: Session) -> None:
    from asman_shared.codec import Broken
    from asman_shared.errors import BadRequest

    future = session.ask(m.Workers(0))
    out = session.received([m.Ping(9), Broken(BadRequest("what?"), 1), Broken(BadRequest("x"), None)])
    assert out == [m.Pong(9)]
    with pytest.raises(ProtocolError, match="what"):
        await future
