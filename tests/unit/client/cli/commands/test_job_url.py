"""URLs that hold a whole job."""

from __future__ import annotations

import json

import pytest

from asman_shared import messages as m
from asman_shared.definition import Definition
from asman_shared.job_url import encode_value, read_job_url
from tests.unit.client.cli.running import Run, Typed, play
from tests.unit.client.fake_hub import FakeHub


async def test_a_job_s_link_holds_all_of_it_and_runs(hub: FakeHub, run: Run) -> None:
    play(hub)
    await run("run", hub.url, "-i", "alpine", "-e", "A=b c", "--", "echo", "ü")
    (job,) = hub.jobs
    link = (await run("job", "url", hub.url, job[:8], "--with-queue")).out.strip()
    found = read_job_url(link)
    assert (found.definition, found.hub, found.queue) == (hub.jobs[job].definition, hub.address, "test-queue")
    ended = await run("run", link)
    assert (ended.code, ended.out) == (0, "one\n")
    assert ended.err.startswith("cached, not run again:")
    value = json.loads((await run("job", "url", hub.url, job, "--with-queue", "--json")).out)
    assert value == {"id": job, "url": link}


async def test_a_job_s_link_keeps_the_queue_secret_unless_it_is_asked_for(hub: FakeHub, run: Run, typed: Typed) -> None:
    play(hub)
    await run("run", hub.url, "-i", "alpine", "--", "echo", "x")
    (job,) = hub.jobs
    for words in ((job,), (job, "--no-queue"), (job, "--json")):
        shown = await run("job", "url", hub.url, *words)
        assert (shown.code, "test-queue" in shown.out + shown.err) == (0, False)
    typed("image: alpine")
    assert "test-queue" not in (await run("job", "url", hub.url, "-")).out


async def test_links_of_pages_run_with_what_they_say(hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    play(hub)
    job = encode_value({"command": "run ${what}", "image": "alpine"})
    control = encode_value({"namespace": "doc-1"})
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    link = f"{hub.address}/#?job={job}&what=it&control={control}&maxJobDuration=5m"
    assert (await run("run", link, "-e", "B=2")).code == 0
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition == Definition(command="run it", image="alpine", env={"what": "it", "B": "2"})
    assert (seen.namespace, seen.time_limit) == ("doc-1", 300_000)
    ended = await run("run", f"{hub.address}/#?queue=x")
    assert (ended.code, "holds no job" in ended.err) == (125, True)


async def test_a_link_from_a_definition_on_standard_input(hub: FakeHub, run: Run, typed: Typed) -> None:
    typed("image: alpine\ncommand: x")
    ended = await run("job", "url", hub.url, "-")
    assert read_job_url(ended.out.strip()).definition == Definition(image="alpine", command="x")
    assert hub.seen == []
