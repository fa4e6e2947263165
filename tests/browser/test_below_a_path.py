"""The page below a path of a proxy: every way through it, and jobs that run there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.async_api import expect

import asman
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, job_address, lines_come, main_action, row
from tests.support.prefix_door import prefix_door

PREFIX = "/team/asman"


async def test_the_whole_page_works_below_a_path(
    browser: TestBrowser, hub_process: Callable[..., HubProcess], processes: AsmanProcesses
) -> None:
    hub = hub_process()
    processes.worker(hub.queue(QUEUE), "--executor", "process", "--name", "bench")
    port = urlsplit(hub.url).port or 0
    async with prefix_door(port, PREFIX) as url:
        page = await browser.open(f"{url}/")
        await page.get_by_label("Queue name or URL").fill(f"{url}/q/{QUEUE}")
        await page.get_by_role("button", name="Open", exact=True).click()
        await connected(page)
        assert page.url == f"{url}/q/{QUEUE}"
        async with asman.connect(f"{url}/q/{QUEUE}") as queue:
            job = await queue.submit(command="echo below a path > $JOB_OUTPUTS/said.txt; echo logged")
            await row(page, job.id).get_by_role("link").click()
            await expect(detail(page)).to_have_attribute("data-reason", "Success")
            assert page.url.startswith(f"{url}/j/{job.id}#?queue=")
        await lines_come(page, 1)
        await expect(page.get_by_test_id("preview")).to_contain_text("below a path")
        await page.reload()
        await expect(detail(page)).to_have_attribute("data-reason", "Success")
        await page.get_by_role("link", name="All jobs").click()
        await expect(row(page, job.id)).to_be_visible()
        await page.reload()
        await expect(row(page, job.id)).to_be_visible()

        assert str(job.url).startswith(f"{url}/j/{job.id}~")
        await page.goto(str(job.url))
        await expect(page.get_by_test_id("linked-job")).to_have_attribute("data-reason", "Success")
        await lines_come(page, 1)
        await expect(page.get_by_test_id("preview")).to_contain_text("below a path")

        await page.goto(job_address(url, {"command": "echo from the address"}))
        await main_action(page).click()
        await expect(detail(page)).to_have_attribute("data-reason", "Success")
        await page.get_by_label("Command", exact=True).fill("echo edited")
        await expect(detail(page)).to_have_attribute("data-state", "none")
        assert page.url.startswith(f"{url}/#?")
        await page.get_by_role("link", name="Asman, start page").click()
        await page.get_by_role("link", name="Documentation").click()
        await page.get_by_role("link", name="worker", exact=False).first.click()
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.url.startswith(f"{url}/docs/")
    assert browser.errors == []
