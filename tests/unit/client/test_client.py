"""The client against a scripted hub."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import asman
from asman import connection
from asman_shared import limits
from asman_shared import messages as m
from asman_shared.errors import BadRequest, ConnectionFailed, ProtocolError, TimedOut, TooLarge
from asman_shared.states import Phase, State

from .fake_hub import FakeHub, Visitor


def swallow(visitor: Visitor, message: Any) -> None:
    """Leaves a request without an answer."""


async def test_the_same_job_again_joins_and_then_is_cached(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        first = await queue.submit(command="x")
        second = await queue.submit(command="x")
        assert (first.answer, second.answer) == ("queued", "joined")
        hub.log(first.id, "hello")
        hub.finish(first.id, 0)
        await asyncio.gather(first.wait(), second.wait())
        third = await queue.submit(command="x")
        assert third.answer == "cached"
        assert third.verdict is not None
        assert [line.text async for line in third.logs()] == ["hello"]
        assert (await third.result()).exit_code == 0
    assert hub.jobs[first.id].runs == 1


async def test_placement_and_limits_travel_beside_the_definition(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        await queue.submit(
            {"image": "alpine", "shmSize": "1g"},
            command=("a", "b"),
            cpus=2.0,
            memory=2**30,
            namespace="doc-1",
            priority=7,
            reuse="never",
            timeout="20m",
            queue_timeout=1.5,
            phase_timeouts={"pulling": "10m"},
            max_attempts=1,
            follow=False,
        )
    (seen,) = hub.all_of(m.Submit)
    assert (seen.namespace, seen.priority, seen.reuse, seen.max_attempts) == ("doc-1", 7, "never", 1)
    assert (seen.time_limit, seen.queue_limit, seen.follow) == (1_200_000, 1500, False)
    assert seen.phase_limits == {Phase.PULLING: 600_000}
    assert seen.definition.shm_size == "1g"
    assert seen.definition.command == ["a", "b"]
    assert seen.definition.requirements is not None
    assert (seen.definition.requirements.cpus, seen.definition.requirements.memory) == (2, "1073741824b")


async def test_who_names_no_image_gets_the_one_of_the_hub(hub: FakeHub) -> None:
    hub.default_image = "alpine:3"
    async with asman.connect(hub.url) as queue:
        await queue.submit(command="x")
        await queue.submit(command="x", image="debian")
        await queue.submit(command="x", build={"context": "https://example.org/x.git"})
    assert [seen.definition.image for seen in hub.all_of(m.Submit)] == ["alpine:3", "debian", None]


async def test_requests_of_one_turn_travel_in_one_frame(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        jobs = await asyncio.gather(*(queue.submit(command=str(i)) for i in range(100)))
    assert len({job.id for job in jobs}) == 100
    assert max(hub.frames) == 100


async def test_many_more_requests_than_are_allowed_at_once_are_all_answered(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNANSWERED", 10)
    monkeypatch.setattr(connection, "BUFFER_BYTES", 200)
    async with asman.connect(hub.url) as queue:
        jobs = await asyncio.gather(*(queue.submit(command=str(i)) for i in range(300)))
    assert len({job.id for job in jobs}) == 300
    assert max(hub.frames) <= 10


async def test_a_request_larger_than_a_frame_is_refused_here(hub: FakeHub) -> None:
    def small(visitor: Visitor, message: m.Hello) -> None:
        visitor.say(m.Welcome(1, "fake", "e", 0, 0, limits=m.Limits(frame=200)))

    hub.on[m.Hello] = small
    async with asman.connect(hub.url) as queue:
        with pytest.raises(TooLarge, match="the maximum is 200"):
            await queue.submit(command="x" * 500)
        assert await queue.workers() == []


async def test_a_lost_connection_resumes_and_nothing_is_submitted_twice(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.seq = 41
        hub.start(job.id)
        async for state in job.changes():
            if state.state is State.RUNNING:
                break
        hub.drop()
        await hub.saw(m.Follow)
        assert hub.all_of(m.Hello)[-1].resume == m.Resume("first", 42)
        hub.finish(job.id, 0)
        assert (await job.wait()).ok
    assert len(hub.all_of(m.Submit)) == 1


async def test_a_submit_without_an_answer_is_said_again_and_runs_once(hub: FakeHub) -> None:
    def take_and_break(visitor: Visitor, message: m.Submit) -> None:
        del hub.on[m.Submit]
        hub._submit(Visitor(hub, visitor.ws), message)  # the hub has it, its answer never leaves
        visitor.drop()

    hub.on[m.Submit] = take_and_break
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        assert job.answer == "joined"
        hub.finish(job.id, 0)
        assert (await job.wait()).ok
    assert len(hub.all_of(m.Submit)) == 2
    assert hub.jobs[job.id].runs == 1


async def test_a_forced_run_is_not_forced_twice(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        old = await queue.submit(command="x")
        hub.finish(old.id, 0)
        await old.wait()
        hub.time += 10_000_000

        def take_and_break(visitor: Visitor, message: m.Submit) -> None:
            del hub.on[m.Submit]
            hub._submit(Visitor(hub, visitor.ws), message)
            visitor.drop()

        hub.on[m.Submit] = take_and_break
        job = await queue.submit(command="x", reuse="never")
        assert job.answer == "joined"
    assert hub.jobs[job.id].runs == 2
    assert [message.reuse for message in hub.all_of(m.Submit)] == ["success", "never", "any"]


async def test_a_restarted_hub_gets_a_waiting_client_its_result(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        waiting = asyncio.create_task(job.wait())
        await hub.restart()
        await hub.saw(m.Follow)
        hub.finish(job.id, 3)
        verdict = await waiting
    assert (verdict.ok, verdict.exit_code) == (False, 3)


async def test_a_job_that_finished_while_the_hub_was_away(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        await hub.stop()
        hub.log(job.id, "while you were away")
        hub.finish(job.id, 0)
        await hub.listen()
        assert (await job.wait()).ok
        assert [line.text async for line in job.logs()] == ["while you were away"]


async def test_a_hub_that_stays_away_fails_what_waits(hub: FakeHub) -> None:
    async with asman.connect(hub.url, reconnect=0.0) as queue:
        job = await queue.submit(command="x")
        await hub.stop()
        with pytest.raises(ConnectionFailed, match="has been away for 0 seconds: nothing listens"):
            await job.wait()
        with pytest.raises(ConnectionFailed):
            await queue.submit(command="y")


async def test_a_hub_that_sends_us_away_for_good_is_not_dialled_again(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        for visitor in list(hub.visitors):
            await visitor.ws.close(4007)
        with pytest.raises(ProtocolError, match="this key does not allow it"):
            await job.wait()
    assert len(hub.all_of(m.Hello)) == 1


async def test_a_silent_hub_is_dialled_again(hub: FakeHub) -> None:
    hub.heartbeat = 20
    hub.on[m.Ping] = swallow
    async with asman.connect(hub.url):
        await hub.saw(m.Ping)
        await hub.saw(m.Hello, 2)
        hub.on.clear()
        pings = len(hub.all_of(m.Ping))
        await hub.saw(m.Ping, pings + 5)


async def test_a_hub_that_forgets_a_request_times_out(hub: FakeHub) -> None:
    hub.on[m.Workers] = swallow
    async with asman.connect(hub.url, timeout=0.1) as queue:
        with pytest.raises(TimedOut, match=r"did not answer within 0.1 seconds"):
            await queue.workers()


async def test_leaving_fails_what_still_waits_and_leaves_the_job_alone(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        waiting = asyncio.create_task(job.wait())
        await asyncio.sleep(0)
    with pytest.raises(ConnectionFailed, match="closed"):
        await waiting
    assert hub.all_of(m.Cancel) == []
    await queue.close()


async def test_jobs_come_page_by_page(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        made = [(await queue.submit(command=str(i))).id for i in range(5)]
        hub.finish(made[2], 0)
        assert [job.id async for job in queue.jobs()] == made[::-1]
        assert [job.id async for job in queue.jobs([State.FINISHED])] == [made[2]]


async def test_workers(hub: FakeHub) -> None:
    hub.workers = [m.WorkerState("w1", 1, "ready", cpus=4)]
    async with asman.connect(hub.url) as queue:
        assert await queue.workers() == hub.workers


async def test_changes_begin_with_everything_and_go_on_over_a_break(hub: FakeHub) -> None:
    hub.workers = [m.WorkerState("w1", 1, "ready")]
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        seen: list[Any] = []
        watching = queue.changes()
        async for change in watching:
            seen.append(change)
            if isinstance(change, m.JobState):
                if change.state is State.QUEUED:
                    hub.start(job.id)
                elif change.state is State.RUNNING and len(hub.all_of(m.List)) == 1:
                    hub.drop()
                    await hub.saw(m.Hello, 4)
                    hub.finish(job.id, 0)
                elif change.state is State.FINISHED:
                    break
        await watching.aclose()  # type: ignore[attr-defined]
    assert seen[0] == hub.workers[0]
    states = [change.state for change in seen if isinstance(change, m.JobState)]
    assert states[0] is State.QUEUED
    assert states[-1] is State.FINISHED
    assert {hello.follow for hello in hub.all_of(m.Hello)} == {"jobs", "queue"}


async def test_changes_fail_when_the_hub_stays_away(hub: FakeHub) -> None:
    async with asman.connect(hub.url, reconnect=0.0) as queue:
        with pytest.raises(ConnectionFailed):
            await _stop_at_first(hub, queue)


def test_the_bounds_are_those_of_the_protocol() -> None:
    assert connection.BUFFER_BYTES < limits.FRAME_BYTES


async def _stop_at_first(hub: FakeHub, queue: asman.Queue) -> None:
    async for _ in queue.changes():
        await hub.stop()


async def test_validate_sends_a_mapping_with_all_its_faults_and_uploads_nothing(hub: FakeHub) -> None:
    def validate(visitor: Visitor, message: m.Validate) -> None:
        problems = [m.Problem("definition.imge", "there is no such field")] if "imge" in message.definition else []
        visitor.say(m.Validated(message.ref, "" if problems else "0" * 64, not problems, problems))

    hub.on[m.Validate] = validate
    async with asman.connect(hub.url) as queue:
        bad = await queue.validate({"imge": "alpine"})
        good = await queue.validate(image="alpine", inputs={"large": b"x" * 100_000})
    assert (bad.ok, bad.problems[0].field) == (False, "definition.imge")
    assert good.ok is True
    (_, sent) = hub.all_of(m.Validate)
    assert sent.definition["inputs"]["large"]["type"] == "key"
    assert hub.uploads == []


async def test_a_queue_is_asked_and_told_how_long_it_keeps_its_jobs(hub: FakeHub) -> None:
    def configure(visitor: Visitor, message: m.Configure) -> None:
        visitor.say(m.Configured(message.ref, message.retention or 7, own=bool(message.retention)))

    hub.on[m.Configure] = configure
    async with asman.connect(hub.url) as queue:
        asked = await queue.configure()
        told = await queue.configure(retention="30d")
        back = await queue.configure(retention=0)
    assert [found.own for found in (asked, told, back)] == [False, True, False]
    assert [message.retention for message in hub.all_of(m.Configure)] == [None, 30 * 86_400_000, 0]


async def test_an_unknown_phase_is_named_before_anything_is_sent(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        with pytest.raises(BadRequest, match="unknown phase 'baking'") as caught:
            await queue.submit(image="alpine", phase_timeouts={"baking": 1})
    assert caught.value.field == "phase_timeouts"
    assert hub.all_of(m.Submit) == []
