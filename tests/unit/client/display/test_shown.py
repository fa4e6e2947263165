"""Objects of the client as notebooks and terminals show them."""

from __future__ import annotations

import asyncio
import html as escapes
import inspect
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import asman
import asman.sync
from asman.display.html import outputs_grid
from asman_shared import messages as m
from asman_shared.errors import BadRequest
from asman_shared.states import Reason
from tests.unit.client.cli.running import play
from tests.unit.client.fake_hub import FakeHub

EVIL = "<script>alert(1)</script>&\"'\u202e\x1b[31m"


class _Tags(HTMLParser):
    """The names of all elements, and the addresses of all links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs


def _formats(value: object) -> dict[str, Any]:
    """The forms in which IPython shows a value."""
    formatter = InteractiveShell.instance().display_formatter
    assert formatter is not None
    format_any: Any = formatter.format
    made: dict[str, Any] = format_any(value)[0]
    return made


async def _evil_job(hub: FakeHub, queue: asman.Queue, exit_code: int | None = 3) -> asman.Job:
    job = await queue.submit(image="alpine", command=["echo", EVIL])
    hub.output(job.id, "<b>name</b>.txt", b"x" * 2048)
    hub.finish(job.id, exit_code, message=EVIL)
    await job.wait()
    return job


async def test_each_object_has_a_repr_and_a_table(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await _evil_job(hub, queue)
        result = await job.result(check=False)
        for value, plain, words in (
            (queue, f"Queue(on {queue.address.host})", ["waiting", "workers"]),
            (job, f"Job({job.id[:12]}, Failed)", ["exit code", "alpine", "Failed"]),
            (result, f"JobResult({job.id[:12]}, Failed, exit code 3, 1 output)", ["2 KiB", "exit code"]),
            (result.outputs, "Outputs('<b>name</b>.txt')", ["2 KiB", "sha256"]),
            (result.outputs["<b>name</b>.txt"], "Output('<b>name</b>.txt', 2048 bytes)", ["2 KiB"]),
        ):
            shown = _formats(value)
            assert (repr(value), shown["text/plain"]) == (plain, plain)
            for word in words:
                assert word in shown["text/html"], word


async def test_what_may_change_says_its_time_and_what_has_ended_does_not(hub: FakeHub) -> None:
    hub.time = 1_700_000_000_000
    of_hub = datetime.fromtimestamp(1_700_000_000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    async with asman.connect(hub.url) as queue:
        assert f"as of {of_hub}" in queue._repr_html_()
        assert "when this connection was opened" in queue._repr_html_()
        job = await queue.submit(command="x")
        before = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        for value in (job, asman.table([job]), asman.table([job.state, job])):
            found = re.search(r"as of ([-0-9]+ [:0-9]+) [^;]+; show it again for the newest state", value._repr_html_())
            assert found
            assert found[1] >= before
        hub.finish(job.id)
        await job.wait()
        for ended in (job, asman.table([job]), asman.table([await job.result()])):
            assert "as of" not in ended._repr_html_()
    assert "not connected" in asman.connect(hub.url)._repr_html_()


def test_a_hash_that_a_worker_has_made_up_is_only_text() -> None:
    made_up = ["<script>/*", "*/alert(1)/*", "*/</script>"]
    files: Any = [
        SimpleNamespace(name="a", size_known=True, size=1, media_type="text/plain", sha256=each) for each in made_up
    ]
    html = outputs_grid(files, len(files))
    assert "script" not in _Tags(html).names
    assert "&lt;script&gt;" in html


async def test_what_jobs_and_workers_say_is_only_text(hub: FakeHub) -> None:
    allowed = {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "a", "code", "span"}
    async with asman.connect(hub.url) as queue:
        job = await _evil_job(hub, queue)
        result = await job.result(check=False)
        for value in (job, result, result.outputs, asman.table([job, job.state, result])):
            html = value._repr_html_()
            tags = _Tags(html)
            assert tags.names <= allowed
            assert {name for name, _ in tags.attributes} <= {"style", "href", "target", "rel", "colspan"}
            assert not re.search(r"[\x00-\x1f\u202e]", html)
        assert escapes.escape("<script>alert(1)</script>") in job._repr_html_()
        assert "&lt;b&gt;name&lt;/b&gt;.txt" in result._repr_html_()
        # A notebook is passed on: it has no name of the queue, which gives everything on it.
        for each in (queue, job, result, asman.table([job])):
            assert queue.address.queue not in repr(each) + each._repr_html_()


async def test_a_long_text_and_many_rows_are_cut(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command=f"echo {'x' * 5000}")
        for n in range(130):
            hub.output(job.id, f"{n:03}", b"")
        hub.finish(job.id, 0)
        result = await job.result()
        assert "x" * 201 not in job._repr_html_()
        shown = result.outputs._repr_html_()
        assert shown.count("<tr>") == 102
        assert "… and 30 more" in shown
        assert repr(result.outputs).endswith("'009', … 120 more)")
        many = asman.table([job] * 130)
        assert repr(many).splitlines()[-1] == "… and 70 more"
        assert max(len(line) for line in repr(many).splitlines()) < 160
        assert "… and 30 more" in many._repr_html_()


async def test_a_waiting_job_says_why_it_waits(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        assert repr(job) == f"Job({job.id[:12]}, Queued)"
        assert escapes.escape(job.why) in job._repr_html_()


def test_a_link_leads_into_the_web_alone() -> None:
    from asman.display import html

    assert html.link("javascript:alert(1)", "x") == "x"
    assert html.link('https://a/"><script>', "<x>") == (
        '<a href="https://a/&quot;&gt;&lt;script&gt;" target="_blank" rel="noopener noreferrer">&lt;x&gt;</a>'
    )


async def test_a_table_has_jobs_states_and_results(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command=["sh", "-c", "exit 3"])
        shown = asman.table([job])
        assert re.fullmatch(rf"{job.id[:12]}  Queued +sh -c exit 3", repr(shown).splitlines()[1])
        hub.finish(job.id, 3)
        await job.wait()
        assert "Failed" in repr(shown), "a table shows the newest state"
        assert len(asman.table([job, job.state, await job.result(check=False)])) == 3
    assert repr(asman.table([])) == "no jobs"
    assert asman.table([])._repr_html_() == "<p>no jobs</p>"
    with pytest.raises(BadRequest, match="and no int"):
        asman.table([1])


async def test_the_synchronous_client_shows_the_same(hub: FakeHub) -> None:
    play(hub)

    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            assert "waiting" in queue._repr_html_()
            job = queue.submit(command="x")
            result = job.result()
            assert job.id[:12] in job._repr_html_()
            assert "made.txt" in result.outputs._repr_html_()
            assert "made.txt" in result.outputs["made.txt"]._repr_html_()
            assert repr(asman.table([job, result])).count("Success") == 2

    await asyncio.to_thread(work)


def test_no_public_object_is_shown_by_its_place_in_memory() -> None:
    classes = [value for name in asman.__all__ if inspect.isclass(value := getattr(asman, name))]
    mirrors = [asman.sync.Queue, asman.sync.Job, asman.sync.JobResult, asman.sync.Output]
    assert len(classes) > 20
    assert [each for each in (*classes, *mirrors) if vars(object)["__repr__"] is each.__repr__] == []


async def test_an_executor_tells_where_its_calls_run(hub: FakeHub) -> None:
    def work() -> str:
        with asman.Executor(hub.url, image="python:3.11") as executor:
            return repr(executor)

    shown = await asyncio.to_thread(work)
    assert re.fullmatch(r"Executor\(on 127\.0\.0\.1:\d+, 0 calls open\)", shown)


async def test_a_future_tells_its_state() -> None:
    future: asman.Future[int] = asman.Future()
    assert repr(future) == "Future(waiting)"
    future.set_exception(ValueError("x"))
    assert repr(future) == "Future(done, failed)"
    stopped: asman.Future[int] = asman.Future()
    stopped.cancel()
    assert repr(stopped) == "Future(cancelled)"


def test_words_of_a_state() -> None:
    from asman.display import html
    from asman_shared.states import Phase, State

    state = m.JobState("0" * 64, 1, State.RUNNING, phase=Phase.PULLING)
    assert html.state_words(state) == "Running (pulling)"
    state.phase = Phase.RUNNING
    assert html.state_words(state) == "Running"
    for reason, colour in ((Reason.SUCCESS, "2da44e"), (Reason.FAILED, "d1242f"), (Reason.TIMED_OUT, "bf6a02")):
        state.verdict = m.Verdict(reason is Reason.SUCCESS, reason)
        assert colour in html.badge(state)
