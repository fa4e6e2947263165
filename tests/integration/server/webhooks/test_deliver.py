"""Webhooks of a real hub, received by a real web server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable

import pytest
from aiohttp import web

import asman
from asman_shared.errors import BadRequest
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from devtools.ports import free_port
from tests.support.ready_worker import ready_worker
from tests.support.receiver import Delivery, Receiver, receiver, take

Hub = Callable[..., HubProcess]
ALLOWED = "--allow-private-webhooks"


def both(made: Receiver, **payload: object) -> dict[str, object]:
    return {
        "queued": {"url": made.url("/queued?x=1"), "payload": payload or None},
        "finished": {"url": made.url("/finished"), "payload": payload or None},
    }


def has(path: str) -> Callable[[list[Delivery]], bool]:
    """Whether something came on a path."""
    return lambda came: any(delivery.path == path for delivery in came)


def key_of(hub: HubProcess, queue: str) -> str:
    with urllib.request.urlopen(hub.queue(queue) + "/webhook-key", timeout=10) as answer:
        key: str = json.load(answer)["data"]["key"]
        return key


def check_signature(delivery: Delivery, key: str) -> None:
    """As ``docs/webhooks.md`` tells receivers to."""
    fields = dict(part.split("=", 1) for part in delivery.headers["asman-signature"].split(","))
    expected = hmac.new(key.encode(), fields["t"].encode() + b"." + delivery.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(fields["v1"], expected)
    assert abs(time.time() - int(fields["t"])) < 60


async def test_queued_and_finished_are_called_once_and_signed(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    url = hub.queue("hooks")
    async with receiver() as made, ready_worker(url, exit_code=3), asman.connect(url) as queue:
        job = await queue.submit(image="a", namespace="me", callbacks=both(made, n=[1, "ü"]))
        await job.wait()
        came = {d.path: d for d in await made.wait_for(lambda came: len(came) == 2)}
        cached = await queue.submit(image="a", reuse="any", callbacks={"finished": {"url": made.url("/cached")}})
        assert cached.answer == "cached"
        await made.wait_for(lambda came: len(came) == 3)

    queued, finished = came["/queued?x=1"], came["/finished"]
    short = queued.json["queue"]
    assert short.startswith("q-"), "the whole name, which is all rights, is not told"
    about = {"jobId": job.id, "queue": short, "namespace": "me", "config": {"n": [1, "ü"]}}
    assert queued.json == about
    assert finished.json == {**about, "state": "Finished", "reason": "Failed"}
    assert made.came[2].json == {**finished.json, "namespace": "_", "config": {}}
    key = await asyncio.to_thread(key_of, hub, "hooks")
    for delivery in made.came:
        check_signature(delivery, key)
        assert delivery.headers["content-type"] == "application/json"
        assert delivery.headers["user-agent"].startswith("asman/")
    assert [d.headers["asman-event"] for d in (queued, finished)] == ["queued", "finished"]
    assert len({d.headers["asman-delivery"] for d in made.came}) == 3
    assert key != await asyncio.to_thread(key_of, hub, "others")


async def test_one_submission_is_exactly_one_queued_however_many_join(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    async with receiver() as made, asman.connect(hub.queue("q")) as queue:
        jobs = await asyncio.gather(
            *(queue.submit(image="a", namespace=f"n{n % 3}", callbacks=both(made)) for n in range(12))
        )
        assert Counter(job.answer for job in jobs) == {"queued": 1, "joined": 11}
        async with ready_worker(hub.queue("q")):
            await jobs[0].wait()
            await made.wait_for(lambda came: len(came) == 4)
        # A later job's calls come after any that were still to come.
        await queue.submit(image="b", callbacks={"queued": {"url": made.url("/last")}})
        came = await made.wait_for(has("/last"))
    finished = [d.json["namespace"] for d in came if d.path == "/finished"]
    assert [d.path for d in came].count("/queued?x=1") == 1
    assert sorted(finished) == ["n0", "n1", "n2"]


async def test_a_receiver_that_fails_is_tried_again_with_the_same_delivery(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    answers = [500, 503]

    async def failing(_delivery: Delivery) -> web.Response:
        return web.Response(status=answers.pop(0) if answers else 204)

    async with receiver(answer=failing) as made, asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", callbacks={"queued": {"url": made.url()}})
        came = await made.wait_for(lambda came: len(came) == 3)
    assert len({d.headers["asman-delivery"] for d in came}) == 1
    assert len({d.body for d in came}) == 1


async def test_a_receiver_that_is_down_is_called_when_it_is_up(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    port = free_port()
    async with asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", callbacks={"queued": {"url": f"http://127.0.0.1:{port}/late"}})
        await asyncio.to_thread(hub.wait_for_output, "tried again")
        async with receiver(port) as made:
            (delivery,) = await made.wait_for(lambda came: len(came) == 1)
    assert delivery.path == "/late"


async def test_a_hub_that_is_killed_before_it_delivered_delivers_when_it_is_back(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    port = free_port()
    async with asman.connect(hub.queue("q")) as queue:
        job = await queue.submit(image="a", callbacks={"queued": {"url": f"http://127.0.0.1:{port}/after"}})
    await asyncio.to_thread(hub.kill)
    async with receiver(port) as made:
        await asyncio.to_thread(hub.start)
        (delivery,) = await made.wait_for(lambda came: len(came) == 1)
    assert delivery.json["jobId"] == job.id


async def test_a_hub_that_is_killed_while_it_delivers_delivers_again(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    never = asyncio.Event()

    async def silent(_delivery: Delivery) -> web.Response:
        await never.wait()
        raise AssertionError

    async with receiver(answer=silent) as made, asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", callbacks={"queued": {"url": made.url()}})
        await made.wait_for(lambda came: len(came) == 1)
        await asyncio.to_thread(hub.kill)
        made.answer = take
        await asyncio.to_thread(hub.start)
        came = await made.wait_for(lambda came: len(came) == 2)
    assert came[0].headers["asman-delivery"] == came[1].headers["asman-delivery"]


async def test_what_waits_for_the_end_survives_a_killed_hub(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    async with receiver() as made:
        async with asman.connect(hub.queue("q")) as queue:
            await queue.submit(image="a", callbacks={"finished": {"url": made.url("/end"), "payload": 7}})
        await asyncio.to_thread(hub.restart)
        async with ready_worker(hub.queue("q")):
            (delivery,) = await made.wait_for(lambda came: len(came) == 1)
    assert delivery.json["config"] == 7
    assert delivery.json["reason"] == "Success"


async def test_a_delivered_webhook_is_not_delivered_by_the_next_hub(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    async with receiver() as made:
        async with asman.connect(hub.queue("q")) as queue:
            for image in ("a", "b"):
                await queue.submit(image=image, callbacks={"queued": {"url": made.url(f"/{image}")}})
                await made.wait_for(has(f"/{image}"))
        assert await asyncio.to_thread(hub.terminate) == 0
        await asyncio.to_thread(hub.start)
        async with asman.connect(hub.queue("q")) as queue:
            await queue.submit(image="c", callbacks={"queued": {"url": made.url("/c")}})
            came = await made.wait_for(has("/c"))
    assert [d.path for d in came] == ["/a", "/b", "/c"]


async def test_loopback_is_refused_where_the_operator_did_not_allow_it(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process)
    async with receiver() as made, asman.connect(hub.queue("q")) as queue:
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):
            with pytest.raises(BadRequest, match="allow-private-webhooks") as caught:
                await queue.submit(image="a", callbacks={"finished": {"url": made.url(host=host)}})
            assert caught.value.field == "callbacks.finished.url"
    assert made.came == []


async def test_a_webhook_that_was_allowed_once_is_dropped_when_it_no_longer_is(hub_process: Hub) -> None:
    """The connection itself is judged, not only what was submitted."""
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    port = free_port()
    async with asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", callbacks={"queued": {"url": f"http://localhost:{port}/"}})
        await asyncio.to_thread(hub.wait_for_output, "tried again")
    await asyncio.to_thread(hub.kill)
    hub._arguments.remove(ALLOWED)
    async with receiver(port) as made:
        await asyncio.to_thread(hub.start)
        line = await asyncio.to_thread(hub.wait_for_output, "gave up on a webhook")
    assert "loopback" in line
    assert made.came == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_followed_with_the_same_request(hub_process: Hub, status: int) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)

    async def moved(delivery: Delivery) -> web.Response:
        if delivery.path == "/final":
            return web.Response()
        return web.Response(status=status, headers={"Location": "/final"})

    async with receiver(answer=moved) as made, asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", callbacks={"queued": {"url": made.url("/old")}})
        came = await made.wait_for(lambda came: len(came) == 2)
    assert [d.path for d in came] == ["/old", "/final"]
    assert came[0].body == came[1].body
    check_signature(came[1], await asyncio.to_thread(key_of, hub, "q"))


async def test_redirects_have_a_bound(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)

    async def moved(_delivery: Delivery) -> web.Response:
        return web.Response(status=307, headers={"Location": "/again"})

    async with receiver(answer=moved) as made, asman.connect(hub.queue("q")) as queue:
        await queue.submit(image="a", callbacks={"queued": {"url": made.url()}})
        line = await asyncio.to_thread(hub.wait_for_output, "tried again")
    assert "more than 3" in line
    assert len(made.came) == 4


async def test_a_slow_receiver_delays_no_job_and_no_other_receiver(hub_process: Hub) -> None:
    hub = await asyncio.to_thread(hub_process, ALLOWED)
    never = asyncio.Event()

    async def silent(_delivery: Delivery) -> web.Response:
        await never.wait()
        raise AssertionError

    async with (
        receiver(answer=silent) as slow,
        receiver() as quick,
        ready_worker(hub.queue("q")),
        asman.connect(hub.queue("q")) as queue,
    ):
        jobs = [
            await queue.submit(image="a", command=str(n), callbacks={"queued": {"url": slow.url(f"/{n}")}})
            for n in range(100)
        ]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(job.wait() for job in jobs))
            await queue.submit(image="b", callbacks={"queued": {"url": quick.url()}})
            await quick.wait_for(lambda came: len(came) == 1)
        assert len(slow.came) == 2
