"""The page of a queue in a real browser: thousands of jobs, filters, cancelling many, workers and charts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from playwright.async_api import expect

import asman
from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, no_sideways_scroll, row


async def test_a_queue_of_five_thousand_jobs_costs_what_is_on_the_screen(browser: TestBrowser, hub: HubProcess) -> None:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        jobs = await asyncio.gather(*(queue.submit(command=f"echo {n}") for n in range(5000)))
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    rows = page.get_by_test_id("job-row")
    await expect(page.get_by_text(re.compile("5.000 jobs"))).to_be_visible()
    assert await rows.count() < 60
    # Older pages are asked for as they are scrolled to, down to the first job.
    oldest = row(page, jobs[0].id)
    for _ in range(60):
        await page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        if await oldest.count():
            break
        await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await expect(oldest).to_be_attached()
    assert await rows.count() < 60

    await page.get_by_label("Filter by command").fill("echo 4321")
    await expect(rows).to_have_count(1)
    await page.get_by_role("group", name="State").get_by_role("button", name="Finished").click()
    await expect(page.get_by_text("No job matches the filter")).to_be_visible()
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_jobs_and_workers_live_with_filters_and_charts(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    worker = page.get_by_test_id("worker-row")
    await expect(worker).to_have_attribute("data-state", "ready")
    await expect(worker).to_contain_text("bench")
    async with asman.connect(hub.queue(QUEUE)) as queue:
        good = await queue.submit(command="echo good")
        bad = await queue.submit(command="sh -c 'exit 3'")
    await expect(row(page, good.id)).to_have_attribute("data-reason", "Success")
    await expect(row(page, bad.id)).to_have_attribute("data-reason", "Failed")
    await expect(row(page, good.id)).to_contain_text(re.compile(r"\d m?s"))
    await page.get_by_role("button", name="Failed").click()
    await expect(page.get_by_test_id("job-row")).to_have_count(1)
    await page.get_by_role("button", name="All", exact=True).click()
    await expect(page.get_by_test_id("job-row")).to_have_count(2)
    await page.get_by_text("Charts").click()
    await expect(page.get_by_test_id("charts").locator("canvas")).to_have_count(4)

    await row(page, good.id).get_by_role("link").click()
    await expect(detail(page)).to_have_attribute("data-state", "Finished")
    await page.get_by_role("link", name="All jobs").click()
    await expect(row(page, good.id)).to_be_visible()
    assert browser.errors == []


async def test_many_jobs_are_cancelled_at_once(browser: TestBrowser, hub: HubProcess) -> None:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        jobs = await asyncio.gather(*(queue.submit(command=f"sleep {n}") for n in range(1, 6)))
    page = await browser.open(hub.queue(QUEUE))
    await expect(page.get_by_test_id("job-row")).to_have_count(5)
    await page.get_by_label("Select sleep 1").check()
    await page.get_by_label("Select sleep 2").check()
    await page.get_by_role("button", name="Cancel 2 jobs").click()
    for job in jobs[:2]:
        await expect(row(page, job.id)).to_have_attribute("data-reason", "Cancelled")
    await expect(row(page, jobs[2].id)).to_have_attribute("data-state", "Queued")
    await page.get_by_label("Select all listed jobs").check()
    await page.get_by_role("button", name="Cancel 3 jobs").click()
    await expect(row(page, jobs[4].id)).to_have_attribute("data-reason", "Cancelled")
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_job_submitted_on_the_page_and_its_failure(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(f"{hub.url}/#?queue={QUEUE}")
    await connected(page)
    await page.get_by_role("textbox", name="Command").fill("sh -c 'echo no luck >&2; exit 3'")
    await page.get_by_role("button", name="Run", exact=True).click()
    await page.get_by_role("status").get_by_role("link").click()
    await expect(detail(page)).to_have_attribute("data-reason", "Failed")
    await expect(page.get_by_test_id("verdict")).to_contain_text("exit code 3")
    await expect(page.locator('[data-testid="log-line"][data-stream="err"]')).to_contain_text("no luck")

    await page.get_by_role("link", name="All jobs").click()
    await page.get_by_role("textbox", name="Command").fill("sh -c 'echo no luck >&2; exit 3'")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("The job is queued")).to_be_visible()  # a failure is no answer: it runs again
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_what_is_typed_and_sent_in_one_moment_is_what_runs(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(f"{hub.url}/#?queue={QUEUE}")
    await connected(page)
    await page.get_by_role("textbox", name="Command").fill("echo older")
    await page.evaluate(
        """() => {
            const field = document.querySelector('input[name="command"]');
            field.value = "echo newer";
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
            field.form.requestSubmit();
        }"""
    )
    await page.get_by_role("status").get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("echo newer")
    assert browser.errors == []


async def test_who_comes_first_sees_what_to_do(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(hub.url)
    await expect(page.locator(".examples a")).to_have_count(3)
    await page.get_by_role("button", name="Create a queue").click()
    await expect(page.get_by_text("asman worker", exact=False)).to_be_visible()
    await page.get_by_role("link", name="Count words").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("sh $JOB_INPUTS/count.sh")
    await expect(page.get_by_test_id("input")).to_have_count(2)
    await expect(page.get_by_text("no worker is connected")).to_be_visible()
    await no_sideways_scroll(page)

    page = await browser.open(f"{hub.url}/#?queue=not%2Fa%2Fqueue")
    await expect(page.get_by_role("alert")).to_contain_text("is not a queue name")
    await expect(page.get_by_label("Queue name or URL")).to_be_visible()
    assert browser.errors == []


async def test_a_job_without_an_image_gets_the_default_image_of_the_hub(
    browser: TestBrowser, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process("--default-image", "example.test/default:1")
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    await page.get_by_text("From the shell, Python or another program").click()
    await expect(page.locator(".ways")).to_contain_text("example.test/default:1")
    await page.get_by_label("Command", exact=True).fill("echo hello")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_test_id("job-row")).to_contain_text("example.test/default:1")
    assert browser.errors == []
