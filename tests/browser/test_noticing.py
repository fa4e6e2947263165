"""How a person finds what matters: a line by its link, the first error, earlier attempts, the tab, a notification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import expect

import asman
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, job_address, lines_come, main_action

LONG = "sh -c 'seq 1 3000; echo Error: no such thing >&2; seq 1 3000; exit 1'"
TONE = "document.querySelector('link[rel=icon]').dataset.tone"


@pytest.mark.usefixtures("process_worker")
async def test_a_line_has_a_link_and_the_first_error_is_one_click_away(browser: TestBrowser, hub: HubProcess) -> None:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command=LONG)
        await job.wait()
    page = await browser.open(f"{hub.url}/j/{job.id}#?queue={QUEUE}&line=2500")
    marked = page.locator(".line.current")
    await expect(marked).to_have_attribute("data-seq", "2499")
    await expect(marked).to_be_in_viewport()
    await expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")

    await page.get_by_role("button", name="First error").click()
    await expect(marked).to_contain_text("no such thing")
    await expect(marked).to_be_in_viewport()
    number = await marked.get_attribute("data-seq")
    await marked.locator("a.seq").click()
    assert page.url.endswith(f"&line={int(number or 0) + 1}")
    await expect(marked).to_contain_text("no such thing")
    await page.reload()
    await expect(marked).to_contain_text("no such thing")
    await expect(marked).to_be_in_viewport()

    await page.goto(f"{hub.url}/j/{job.id}#?queue={QUEUE}&line=999999")
    await expect(page.get_by_text("The log has no line")).to_be_visible()
    assert browser.errors == []


async def test_the_attempts_of_a_run_are_found_in_its_log(
    browser: TestBrowser, hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path
) -> None:
    hub = hub_process("--grace", "1s")
    go_on = tmp_path / "go-on"
    command = f"sh -c 'echo here; until test -e {go_on}; do sleep 0.1; done; echo done'"
    first = processes.worker(hub.queue(QUEUE), "--executor", "process", "--data-dir", str(tmp_path / "one"))
    page = await browser.open(job_address(hub.url, {"command": command}))
    await main_action(page).click()
    await lines_come(page, 1)
    await expect(page.get_by_test_id("attempts")).to_have_count(0)
    first.kill()
    go_on.touch()
    processes.worker(hub.queue(QUEUE), "--executor", "process", "--data-dir", str(tmp_path / "two"))
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    links = page.get_by_test_id("attempts")
    await expect(links).to_contain_text("Attempt 1 (lost with its worker)")
    await links.get_by_role("button", name="Attempt 2").click()
    await expect(page.locator(".line.current")).to_contain_text("attempt 2 begins")
    await links.get_by_role("button", name="Attempt 1").click()
    await expect(page.locator(".line.current")).to_contain_text("here")
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_the_tab_tells_the_state_and_a_notification_the_end(
    browser: TestBrowser, hub: HubProcess, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    command = f"sh -c 'until test -e {go_on}; do sleep 0.1; done; exit 3'"
    page = await browser.open(f"{hub.url}/")
    await page.context.grant_permissions(["notifications"], origin=hub.url)
    await page.add_init_script(
        """window.told = []; const Real = window.Notification;
        window.Notification = class extends Real { constructor(...all) { super(...all); window.told.push(all); } };
        document.hasFocus = () => false;"""
    )
    await page.goto(job_address(hub.url, {"command": command}))
    await page.reload()
    await page.wait_for_function(f"() => {TONE} === ''")
    await main_action(page).click()
    await page.wait_for_function(f"() => {TONE} === 'active'")
    ask = page.get_by_role("button", name="Notify me")
    await ask.click()
    await expect(ask).to_have_attribute("aria-pressed", "true")
    go_on.touch()
    await expect(detail(page)).to_have_attribute("data-reason", "Failed")
    await page.wait_for_function(f"() => {TONE} === 'bad'")
    await page.wait_for_function("() => window.told.length === 1")
    title, more = await page.evaluate("window.told[0]")
    assert title.startswith("Failed: sh -c")
    assert "exit code 3" in more["body"]
    # Asked for once: the next job needs no click.
    await page.reload()
    await expect(main_action(page)).to_have_text("Run again")
    await main_action(page).click()
    await page.wait_for_function("() => window.told.length === 1")
    await page.get_by_role("link", name="All jobs").click()
    await connected(page)
    await page.wait_for_function(f"() => {TONE} === ''")
    assert browser.errors == []


async def test_queues_that_were_opened_stand_on_the_start_page(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(hub.queue("first-queue-of-mine"))
    await connected(page)
    await page.goto(hub.queue(QUEUE))
    await connected(page)
    await page.goto(f"{hub.url}/")
    mine = page.get_by_test_id("my-queues")
    await expect(mine.get_by_role("listitem")).to_have_count(2)
    await mine.get_by_role("button", name="Forget first-qu").click()
    await expect(mine.get_by_role("listitem")).to_have_count(1)
    await mine.get_by_role("button", name="Undo").click()
    await expect(mine.get_by_role("listitem")).to_have_count(2)
    await expect(mine.get_by_role("status")).to_have_count(0)
    await mine.get_by_role("button", name="Forget first-qu").click()
    await expect(mine.get_by_role("listitem")).to_have_count(1)
    await page.goto(f"{hub.url}/j/{'0' * 64}")
    await expect(page.get_by_role("heading", name="Look in one of my queues")).to_be_visible()
    await mine.get_by_role("link").click()
    assert f"queue={QUEUE}" in page.url
    assert browser.errors == []
