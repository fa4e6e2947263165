"""Arguments of the public functions: the forms that are taken, and the errors for all others."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

import asman
from asman.arguments import MAX_SECONDS, job_named, read_callbacks
from asman.definitions import read
from asman_shared import messages as m
from asman_shared.errors import BadRequest
from asman_shared.messages import Callbacks
from asman_shared.states import Reason, State

from .fake_hub import FakeHub


def test_a_mapping_and_the_object_are_the_same() -> None:
    made = read_callbacks({"finished": {"url": "https://example.org/done", "payload": {"n": 1}}})
    assert isinstance(made, Callbacks)
    assert made.finished is not None
    assert (made.queued, made.finished.url) == (None, "https://example.org/done")
    assert read_callbacks(made) is made
    assert read_callbacks(None) is None


def test_an_error_names_the_field() -> None:
    with pytest.raises(BadRequest, match=r"callbacks\.finished\.url") as caught:
        read_callbacks({"finished": {"url": 3}})
    assert caught.value.field == "callbacks.finished.url"
    with pytest.raises(BadRequest, match="ended"):
        read_callbacks({"ended": {"url": "https://example.org"}})


# --------------------------------------------------------------------------------------------- odd values of arguments

Call = Callable[[asman.Queue, Any], Awaitable[Any]]


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in items]


NO_TIME: list[Any] = [[1], "x", math.nan, math.inf, 1e300, 10**400, True, {}, object()]
NO_NUMBER: list[Any] = ["1", [1], 1.5, math.nan, True, 10**400, object()]
NO_TEXT: list[Any] = [3, b"x", ["x"], object()]
ODD: list[tuple[str, list[Any], Call]] = [
    ("timeout", NO_TIME, lambda queue, odd: queue.submit(command="x", timeout=odd)),
    ("queue_timeout", NO_TIME, lambda queue, odd: queue.submit(command="x", queue_timeout=odd)),
    ("phase_timeouts", ["x", [1], {"pullin": 3}], lambda queue, odd: queue.submit(command="x", phase_timeouts=odd)),
    ("phase_timeouts.pulling", NO_TIME, lambda queue, odd: queue.submit(command="x", phase_timeouts={"pulling": odd})),
    ("priority", [*NO_NUMBER, 101], lambda queue, odd: queue.submit(command="x", priority=odd)),
    ("max_attempts", [*NO_NUMBER, 0], lambda queue, odd: queue.submit(command="x", max_attempts=odd)),
    ("namespace", [*NO_TEXT, None], lambda queue, odd: queue.submit(command="x", namespace=odd)),
    ("reuse", ["Never", None, 3], lambda queue, odd: queue.submit(command="x", reuse=odd)),
    ("callbacks", ["http://x", 3], lambda queue, odd: queue.submit(command="x", callbacks=odd)),
    ("definition", ["echo hi", 3, [1], b"x"], lambda queue, odd: queue.submit(odd)),
    ("definition", ["echo hi", 3, [1]], lambda queue, odd: queue.validate(odd)),
    ("items", ["echo hi", {"command": "x"}, 3, None, b"x"], lambda queue, odd: _all(queue.submit_many(odd))),
    ("items", ["echo hi", 3, None, ["x"]], lambda queue, odd: _all(queue.run_many([odd]))),
    ("window", [*NO_NUMBER, 0, 100_001], lambda queue, odd: _all(queue.run_many([], window=odd))),
    ("job", [3, None, b"x", "", "abc", "x" * 64, "a" * 65, "/j/"], lambda queue, odd: queue.get(odd)),
    ("namespace", NO_TEXT, lambda queue, odd: queue.get("a" * 64, namespace=odd)),
    ("timeout", NO_TIME, lambda queue, odd: queue.get("a" * 64, timeout=odd)),
    ("states", ["Faild", "", 3, None, ["Finished", 3], [None], {}], lambda queue, odd: _all(queue.jobs(odd))),
    ("retention", NO_TIME, lambda queue, odd: queue.configure(retention=odd)),
    ("timeout", NO_TIME, lambda queue, odd: queue.configure(timeout=odd)),
    ("timeout", NO_TIME, lambda queue, odd: queue.workers(odd)),
    ("recent", [*NO_NUMBER, -1], lambda queue, odd: _all(queue.changes(odd))),
    ("source", [3, None, [b"x"], "", "a\0b"], lambda queue, odd: queue.put_blob(odd)),
    ("key", [3, None, b"x" * 64, "", "A" * 64], lambda queue, odd: queue.get_blob(odd)),
    ("key", [3, None, ""], lambda queue, odd: queue.blob_size(odd)),
    ("path", [3, None, b"x", ""], lambda queue, odd: queue.save_blob("a" * 64, odd)),
    ("timeout", NO_TIME, lambda queue, odd: queue.get_blob("a" * 64, timeout=odd)),
    ("definition.inputs", ["", [""], {"a": ""}, ["a\0b"]], lambda queue, odd: queue.submit(command="x", files=odd)),
]


async def test_an_odd_argument_is_an_error_that_names_it_and_nothing_is_sent(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        for name, values, call in ODD:
            for odd in values:
                with pytest.raises(asman.AsmanError) as caught:
                    await call(queue, odd)
                assert caught.value.field == name, (name, odd, caught.value)
    assert [*hub.all_of(m.Submit), *hub.all_of(m.Get), *hub.all_of(m.Configure)] == []


JOB_ODD: list[tuple[str, list[Any], Callable[[asman.Job, Any], Awaitable[Any]]]] = [
    ("timeout", NO_TIME, lambda job, odd: job.wait(odd)),
    ("timeout", NO_TIME, lambda job, odd: job.result(odd)),
    ("timeout", NO_TIME, lambda job, odd: job.cancel(timeout=odd)),
    ("namespace", NO_TEXT, lambda job, odd: job.cancel(odd)),
    ("since", [*NO_NUMBER, -1], lambda job, odd: _all(job.logs(odd))),
    ("tail", [*NO_NUMBER, -1], lambda job, odd: _all(job.logs(tail=odd))),
    ("stream", [3, [3], "out", b"x"], lambda job, odd: _all(job.logs(stream=odd))),
    ("grep", [3, b"x", None], lambda job, odd: _all(job.logs(grep=odd))),
]


async def test_an_odd_argument_of_a_job_is_an_error_that_names_it(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        for name, values, call in JOB_ODD:
            for odd in values:
                with pytest.raises(asman.AsmanError, match=name) as caught:
                    await call(job, odd)
                assert caught.value.field == name, (name, odd, caught.value)


def test_an_odd_argument_of_connect_is_an_error_that_names_it() -> None:
    for name, odd in [("timeout", each) for each in [*NO_TIME, None, 0]] + [("reconnect", each) for each in NO_TIME]:
        with pytest.raises(asman.BadUnit, match=name) as caught:
            asman.connect("http://h/q/abc", **{name: odd})
        assert caught.value.field == name
    for odd in (3, b"http://h/q/abc"):
        with pytest.raises(BadRequest, match="address"):
            asman.connect(cast(Any, odd))


def test_an_odd_argument_of_an_executor_is_an_error_that_names_it_before_it_connects() -> None:
    times = [(name, odd) for name in ("timeout", "connect_timeout", "reconnect") for odd in NO_TIME]
    numbers = [(name, odd) for name in ("window", "max_attempts", "priority") for odd in NO_NUMBER]
    for name, odd in [*times, *numbers, ("window", 0), ("max_attempts", 0), ("priority", 101), ("python", 3)]:
        with pytest.raises(asman.AsmanError, match=r".") as caught:
            asman.Executor("http://127.0.0.1:1/q/abc", **cast(Any, {name: odd}))
        assert caught.value.field == name


async def test_the_longest_time_is_taken_and_one_more_is_not(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        await queue.submit(command="x", timeout=MAX_SECONDS)
        with pytest.raises(asman.BadUnit, match="at most"):
            await queue.submit(command="x", timeout=MAX_SECONDS + 1)


async def test_bytes_of_any_kind_are_stored(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        refs = [await queue.put_blob(kind(b"some bytes")) for kind in (bytes, bytearray, memoryview)]
        assert len({ref.value for ref in refs}) == 1
        assert await queue.get_blob(refs[0].value) == b"some bytes"


# ---------------------------------------------------------------------------------------------------- nearest names


@pytest.mark.parametrize(
    ("given", "near"),
    [("orderd", "ordered"), ("windw", "window"), ("timout", "timeout"), ("comand", "command"), ("zzz", "")],
)
async def test_an_unknown_argument_of_run_many_has_the_nearest_one_before_any_item_is_read(
    hub: FakeHub, given: str, near: str
) -> None:
    async with asman.connect(hub.url) as queue:
        with pytest.raises(BadRequest) as caught:
            await _all(queue.run_many([], **cast(Any, {given: 1})))
    assert caught.value.message == f"unknown argument '{given}'" + (f"; did you mean '{near}'?" if near else "")
    assert caught.value.field == given


async def test_an_unknown_argument_of_submit_connect_and_executor_has_the_nearest_one(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        with pytest.raises(BadRequest, match="did you mean 'progress'"):
            await queue.submit(command="x", **cast(Any, {"progres": print}))
    for connect in (asman.connect, asman.sync.connect):
        with pytest.raises(BadRequest, match="did you mean 'timeout'") as caught:
            connect(hub.url, **cast(Any, {"timeot": 1}))
        assert caught.value.field == "timeot"
    for given, near in (("timout", "timeout"), ("trust_worker", "trust_workers"), ("memroy", "memory")):
        with pytest.raises(BadRequest, match=f"did you mean '{near}'") as caught:
            asman.Executor(hub.url, **cast(Any, {given: 1}))
        assert caught.value.field == given


@pytest.mark.parametrize(
    ("given", "near", "field"),
    [
        ({"comand": "x"}, "command", "definition.comand"),
        ({"shm_size": "1g"}, "shmSize", "definition.shm_size"),
        ({"cpus": 2}, "requirements.cpus", "definition.cpus"),
        ({"requirements": {"cpu": 2}}, "cpus", "definition.requirements.cpu"),
        ({"build": {"contxt": "x"}}, "context", "definition.build.contxt"),
        ({"build": {"build_args": ["A"]}}, "buildArgs", "definition.build.build_args"),
        ({"steps": [{"comand": "x"}]}, "command", "definition.steps[0].comand"),
        ({"inputs": {"a": {"valu": "x"}}}, "value", "definition.inputs[...].valu"),
    ],
)
def test_an_unknown_member_of_a_definition_has_the_nearest_one(given: dict[str, Any], near: str, field: str) -> None:
    with pytest.raises(asman.BadDefinition, match=rf"did you mean '{re.escape(near)}'") as caught:
        read(given)
    assert caught.value.field == field


def test_an_unknown_member_of_callbacks_has_the_nearest_one() -> None:
    with pytest.raises(BadRequest, match="did you mean 'finished'") as caught:
        read_callbacks({"finishd": {"url": "https://example.org"}})
    assert caught.value.field == "callbacks.finishd"
    with pytest.raises(BadRequest, match="did you mean 'payload'") as caught:
        read_callbacks({"finished": {"url": "https://example.org", "paylod": 1}})
    assert caught.value.field == "callbacks.finished.paylod"


# ------------------------------------------------------------------------------------------------------------- jobs


async def test_a_job_stands_for_its_definition_wherever_one_is_submitted(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        assert (await queue.submit(job)).id == job.id
        assert (await queue.submit(job, command="y")).id != job.id
        assert [each.id async for each in queue.submit_many([job, {"definition": job}])] == [job.id] * 2
        hub.finish(job.id, 0)
        assert [each.id async for each in queue.run_many([job])] == [job.id]

    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            job = queue.submit(command="x")
            assert queue.submit(job).id == next(iter(queue.submit_many([job]))).id == job.id
            with pytest.raises(BadRequest, match="items"):
                list(queue.run_many(cast(Any, {"command": "x"})))

    await asyncio.to_thread(work)


async def test_text_in_the_place_of_a_job_is_told_the_way_out(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        with pytest.raises(asman.BadDefinition, match="pass command='echo hi'"):
            await queue.submit(cast(Any, "echo hi"))
        with pytest.raises(BadRequest, match=r"""pass \{"command": 'echo hi'\}""") as caught:
            await _all(queue.run_many(cast(Any, ["echo hi"])))
        assert "item 0" in caught.value.__notes__[0]


async def test_states_and_reasons_are_read_by_their_names_in_any_case(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        good, bad, waits = [await queue.submit(command=name) for name in ("good", "bad", "waits")]
        hub.finish(good.id, 0)
        hub.finish(bad.id, 1, Reason.FAILED)
        await asyncio.gather(good.wait(), bad.wait())
        for states, found in (
            ("failed", {bad}),
            ("FINISHED", {good, bad}),
            (["Finished", "failed"], {good, bad}),
            (["queued", "Failed"], {waits, bad}),
            (State.QUEUED, {waits}),
            ([Reason.SUCCESS], {good}),
            ((), {good, bad, waits}),
        ):
            listed = {each.id async for each in queue.jobs(states)}
            assert listed == {each.id for each in found}, states
        with pytest.raises(BadRequest, match=r"did you mean 'failed'.*Queued.*WorkerLost"):
            await _all(queue.jobs("faild"))


async def test_a_job_is_found_by_its_url_and_by_the_beginning_of_its_id(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job, other = await queue.submit(command="x"), await queue.submit(command="y")
        hub.jobs["abcd1" + "0" * 59] = hub.jobs[job.id]
        for named in (
            job.id,
            job.id.upper(),
            job.url,
            f"{job.url}/?x=1#top",
            f" {job.id} ",
            job.id[:12],
            other.id[:12],
        ):
            assert (await queue.get(named)).id == (other.id if named == other.id[:12] else job.id)
        missing = "0000" if not any(each.startswith("0000") for each in (job.id, other.id)) else "1111"
        with pytest.raises(asman.NotFound, match="begins with"):
            await queue.get(missing)


def test_several_jobs_with_a_beginning_are_no_job() -> None:
    assert job_named("https://h/j/ABCD~key?x") == "abcd"
    with pytest.raises(BadRequest, match="at least its first 4"):
        job_named("abc")
