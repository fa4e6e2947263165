"""Lists of jobs."""

from __future__ import annotations

import json
import time

from asman_shared import messages as m
from asman_shared.states import Reason
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub


async def test_a_list_shows_what_is_asked_for(hub: FakeHub, run: Run) -> None:
    play(hub)
    for image, word in (("alpine", "a"), ("busybox", "b"), ("alpine", "c")):
        await run("run", hub.url, "-q", "-i", image, "--", "echo", word)
    for kept in hub.jobs.values():
        command = kept.definition.command
        assert command is not None
        kept.state.summary = m.Summary(image=kept.definition.image or "", command=" ".join(command), tags=("t",))
    failed = next(iter(hub.jobs))
    hub.finish(failed, 1, Reason.FAILED)

    async def listed(*words: str) -> list[str]:
        value = json.loads((await run("job", "list", hub.url, "--json", *words)).out)
        return [each["summary"]["command"][-1] for each in value]

    hub.jobs[failed].state.summary = m.Summary(image="alpine", command="echo a", tags=("t",))
    assert await listed() == ["c", "b", "a"]
    assert await listed("--image", "alp") == ["c", "a"]
    assert await listed("--grep", "b") == ["b"]
    assert await listed("--state", "failed") == ["a"]
    assert await listed("--state", "finished", "--limit", "1") == ["c"]
    assert await listed("--tag", "t", "--since", "5m") == []
    assert await listed("--worker", "w") == []
    ended = await run("job", "list", hub.url, "--state", "sleeping")
    assert (ended.code, "neither a state nor a reason" in ended.err) == (2, True)


async def test_a_list_is_refused_in_the_hub_s_words_or_in_a_sentence_about_what_is_there(
    hub: FakeHub, run: Run
) -> None:
    async def told(status: int, body: bytes) -> str:
        hub.rest = lambda _path: (status, body)
        ended = await run("job", "list", hub.url)
        assert (ended.code, ended.out) == (125, "")
        return str(ended.err)

    host = f"127.0.0.1:{hub.port}"
    refusal = b'{"error": "too many at once", "code": "overloaded", "retry": true}'
    assert await told(503, refusal) == "error: too many at once\nhint: try again in a moment\n"
    missing = f"error: {host} answered with HTTP status 404: is it an Asman hub, and the path right?\n"
    assert await told(404, b"<h1>no such page</h1>") == missing
    assert await told(200, b"<h1>hello</h1>") == f"error: the server at {host} is not an Asman hub\n"
    assert await told(200, b"[]") == f"error: the server at {host} is not an Asman hub\n"
    await hub.stop()
    assert (await run("job", "list", hub.url)).err.startswith(f"error: nothing listens at {host}: is the hub running?")
    nowhere = await run("job", "list", "http://no-such-host.invalid/q/x")
    assert nowhere.err == "error: there is no host named 'no-such-host.invalid': check the queue's address\n"


async def test_a_list_says_how_each_job_ended_when_where_and_how_long_it_took(hub: FakeHub, run: Run) -> None:
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    now = time.time_ns() // 1_000_000
    hub.change(job, queued=now - 7_500_000, started=now - 7_000_000, worker="worker-1-of-many")
    hub.finish(job, 3, duration=2400)
    hub.jobs[job].state.summary = m.Summary(image="alpine", command="echo a")
    titles, row = (await run("job", "list", hub.url)).out.splitlines()
    assert titles.split() == ["JOB", "STATE", "EXIT", "SUBMITTED", "TOOK", "WORKER", "IMAGE", "COMMAND"]
    at = {title: titles.index(title) for title in titles.split()}
    cells = {title: row[start:].split("  ")[0] for title, start in at.items()}
    assert cells == {
        "JOB": job[:12],
        "STATE": "Failed",
        "EXIT": "3",
        "SUBMITTED": "2 h ago",
        "TOOK": "2.4 s",
        "WORKER": "worker-1-of-many",
        "IMAGE": "alpine",
        "COMMAND": "echo a",
    }


async def test_a_list_says_how_many_jobs_it_leaves_out(hub: FakeHub, run: Run) -> None:
    for word in "abcde":
        await run("job", "add", hub.url, "-c", word)
    finished = next(iter(hub.jobs))
    hub.finish(finished)
    jobs = hub.rest

    def counted(path: str) -> tuple[int, bytes]:
        status, body = jobs(path)
        return status, json.dumps({**json.loads(body), "counts": {"queued": 4, "running": 0, "finished": 1}}).encode()

    hub.rest = counted
    all_of_them = await run("job", "list", hub.url, "--limit", "5")
    assert (len(all_of_them.out.splitlines()), all_of_them.err) == (6, "")
    for words, said in (
        (("--limit", "3"), "the newest 3 of 5 jobs; --limit shows more\n"),
        (("--limit", "2", "--state", "queued"), "the newest 2 of 4 jobs; --limit shows more\n"),
        (("--limit", "2", "--namespace", ""), "the newest 2 of 5 jobs; --limit shows more\n"),
        (("--limit", "1", "--since", "1h", "--state", "finished"), ""),
        (("--limit", "1", "--since", "36500d"), "the newest 1 that match; --limit shows more\n"),
    ):
        listed = await run("job", "list", hub.url, *words)
        assert listed.err == said, words
        assert len(json.loads((await run("job", "list", hub.url, "--json", *words)).out)) == len(
            listed.out.splitlines()[1:]
        )


async def test_a_list_of_a_queue_that_nobody_has_used_asks_whether_its_name_is_right(hub: FakeHub, run: Run) -> None:
    empty = await run("job", "list", hub.url)
    assert empty.err == "this queue has no jobs and no workers: is its name right?\n"
    assert (await run("job", "list", hub.url, "--json")).err == ""
    await run("job", "add", hub.url, "-c", "x")
    assert (await run("job", "list", hub.url)).err == ""
