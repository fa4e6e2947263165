"""The page of one job for whoever has its link and not its queue: it shows what the link allows and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

import asman
from asman_shared.keys.derived import KeyKind, derived_keys
from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import (
    QUEUE,
    detail,
    job_address,
    lines_come,
    looping_command,
    main_action,
    no_sideways_scroll,
    said_at_last,
    violations,
)

PATIENCE = 90_000
"""Time limit for a page that looks again at growing intervals, in milliseconds."""
SAYS = (
    "echo written; echo careful >&2; echo hi > $JOB_OUTPUTS/a.txt; "
    "printf 'n,square\\n3,9\\n' > $JOB_OUTPUTS/t.csv; exit 3"
)
CHANGES = ("Run", "Run again", "Cancel job", "Delete result", "Share", "New text file")


async def submitted(hub: HubProcess, *, ends: bool = True, queue: str = QUEUE, **fields: Any) -> asman.Job:
    async with asman.connect(hub.queue(queue)) as connected:
        job = await connected.submit(**fields)
        if ends:
            await job.wait()
        return job


def linked(page: Page) -> Locator:
    """The page of a link; its attributes show how the job stands."""
    return page.get_by_test_id("linked-job")


async def offers_no_change(page: Page) -> None:
    await expect(main_action(page)).to_have_count(0)
    for name in CHANGES:
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


async def test_a_link_shows_a_result_to_a_stranger_and_changes_nothing(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    job = await submitted(hub, command=["sh", "-c", SAYS], env={"RATE": "0.1"}, inputs={"in.txt": "given"})
    page = await browser.open("about:blank")
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    page.on("websocket", lambda socket: methods.append(f"websocket to {socket.url}"))
    assert job.url is not None
    await page.goto(job.url)
    await expect(linked(page)).to_have_attribute("data-state", "ended")
    await expect(linked(page)).to_have_attribute("data-reason", "Failed")
    await expect(page.get_by_test_id("verdict")).to_contain_text("Failed (exit code 3)")
    await expect(page.get_by_text("finished at")).to_be_visible()
    lines = await said_at_last(page, "written", "careful", any_order=True)
    assert {text: stream for _, stream, text in lines if stream != "sys"} == {"written": "out", "careful": "err"}
    await expect(page.get_by_test_id("output")).to_have_count(2)
    await expect(page.get_by_test_id("preview").get_by_text("hi", exact=True)).to_be_visible()
    await expect(page.get_by_role("cell", name="9")).to_be_visible()
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Download a.txt").click()
    assert Path(await (await started.value).path()).read_text() == "hi\n"
    await expect(page.get_by_test_id("what-runs")).to_contain_text("RATE=0.1")
    await page.get_by_text("Inputs", exact=True).click()
    given = await page.get_by_role("link", name="in.txt").get_attribute("href")
    assert given is not None
    assert await page.evaluate("async url => (await fetch(url)).text()", given) == "given"
    await offers_no_change(page)
    assert QUEUE not in await page.content()
    assert set(methods) <= {"GET", "HEAD"}
    assert await violations(page) == []
    await page.set_viewport_size({"width": 360, "height": 740})
    await no_sideways_scroll(page)
    assert browser.errors == []


async def test_the_lines_of_a_linked_log_have_links_and_its_first_error_is_found(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    says = "for n in $(seq 400); do echo line $n; done; echo ValueError: wrong; for n in $(seq 400); do echo more; done"
    job = await submitted(hub, command=["sh", "-c", f"{says}; exit 3"])
    assert job.url is not None
    page = await browser.open(job.url)
    await page.get_by_role("button", name="First error").click()
    await expect(page.get_by_test_id("log").get_by_text("ValueError: wrong")).to_be_in_viewport()
    await page.locator(".line.current a.seq").click()
    number = page.url.rpartition("line=")[2]
    assert page.url == f"{job.url}#?line={number}"
    again = await browser.open(page.url)
    await expect(again.locator(".line.current").get_by_text("ValueError: wrong")).to_be_in_viewport()
    assert browser.errors == []


async def test_a_wrong_key_is_told_in_a_sentence(browser: TestBrowser, hub: HubProcess, process_worker: None) -> None:
    del process_worker
    job = await submitted(hub, command="echo a-secret-line")
    for link, sentence in (
        (f"{hub.url}/j/{job.id}~{'0' * 32}", "The hub shows no job for this link"),
        (f"{hub.url}/j/{'0' * 64}~{'0' * 32}", "The hub shows no job for this link"),
        (f"{hub.url}/j/{job.id}", "names a job by its id alone"),
    ):
        page = await browser.open(link)
        await expect(linked(page)).to_have_attribute("data-state", "missing")
        await expect(page.get_by_role("alert")).to_contain_text(sentence)
        await expect(page.get_by_test_id("log")).to_have_count(0)
        assert "a-secret-line" not in await page.content()
        assert await violations(page) == []
        await page.get_by_label("Queue name or URL").fill(QUEUE)
        await page.get_by_role("button", name="Show the job").click()
        await expect(detail(page)).to_have_attribute("data-job", link.split("/j/")[1][:64])
    assert browser.errors == []


async def test_a_job_that_still_runs_is_shown_until_it_has_ended(
    browser: TestBrowser, hub: HubProcess, process_worker: None, tmp_path: Path
) -> None:
    del process_worker
    stop = tmp_path / "stop"
    job = await submitted(hub, ends=False, command=looping_command(stop))
    assert job.url is not None
    page = await browser.open(job.url)
    await expect(linked(page)).to_have_attribute("data-state", "live")
    await expect(page.get_by_test_id("verdict")).to_contain_text("has not ended")
    page.set_default_timeout(PATIENCE)
    await lines_come(page, 1)
    await offers_no_change(page)
    stop.touch()
    await expect(linked(page)).to_have_attribute("data-reason", "Success", timeout=PATIENCE)
    await expect(page.get_by_text("end ", exact=False).last).to_be_visible(timeout=PATIENCE)
    await expect(page.get_by_role("button", name="Look now")).to_have_count(0)
    assert browser.errors == []


async def test_a_job_that_was_cancelled_is_shown_as_that(browser: TestBrowser, hub: HubProcess) -> None:
    job = await submitted(hub, ends=False, command="echo never")
    assert job.url is not None
    page = await browser.open(job.url)
    await expect(linked(page)).to_have_attribute("data-state", "live")
    async with asman.connect(hub.queue(QUEUE)) as queue:
        await (await queue.get(job.id)).cancel()
    await page.get_by_role("button", name="Look now").click()
    await expect(linked(page)).to_have_attribute("data-reason", "Cancelled", timeout=PATIENCE)
    await expect(page.get_by_test_id("verdict")).to_contain_text("cancelled")
    await expect(page.get_by_text("Outputs", exact=True)).to_have_count(0)
    assert browser.errors == []


async def test_the_link_of_a_reader_shows_no_more_of_the_definition_than_the_reader_sees(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    done = await submitted(hub, command="echo seen", env={"TOKEN": "a-secret"})
    read = derived_keys(QUEUE)[KeyKind.READ]
    async with asman.connect(hub.queue(read)) as queue:
        link = (await queue.get(done.id)).url
    assert link is not None
    page = await browser.open(link)
    await expect(linked(page)).to_have_attribute("data-reason", "Success")
    await lines_come(page, 1)
    await expect(page.get_by_test_id("what-runs")).to_contain_text("TOKEN")
    assert "a-secret" not in await page.content()
    assert browser.errors == []


async def test_share_offers_the_link_that_shows_the_result(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    page = await browser.open(job_address(hub.url, {"command": "echo shared"}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await page.get_by_role("button", name="Share", exact=True).click()
    way = page.get_by_role("dialog").locator(".way", has=page.get_by_text("This result to read", exact=True))
    link = await way.locator("code").inner_text()
    assert "~" in link
    assert not link.endswith(".json")
    other = await browser.open(link)
    await expect(linked(other)).to_have_attribute("data-reason", "Success")
    await expect(other.get_by_test_id("log-text").get_by_text("shared", exact=True)).to_be_visible()
    assert browser.errors == []
