"""Chosen jobs of a queue: run again, retried, downloaded, deleted; and the table by keys."""

from __future__ import annotations

import asyncio
import re
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

import asman
from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, row

pytestmark = pytest.mark.usefixtures("process_worker")

FLAKY = "sh -c 'test -e {mark} && echo mended > $JOB_OUTPUTS/said.txt'"
"""A job that fails until a file exists."""


async def _jobs(hub: HubProcess, *commands: str) -> list[str]:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        jobs = [await queue.submit(command=command) for command in commands]
        await asyncio.gather(*(job.wait() for job in jobs))
        return [job.id for job in jobs]


async def _choose(page: Page, *ids: str) -> None:
    for job in ids:
        await row(page, job).get_by_role("checkbox").check()


async def test_failed_jobs_are_retried_and_a_result_is_not_taken_from_the_cache(
    browser: TestBrowser, hub: HubProcess, tmp_path: Path
) -> None:
    mark = tmp_path / "mended"
    good, bad, worse = await _jobs(hub, "echo good", FLAKY.format(mark=mark), f"test -e {mark}")
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    await expect(row(page, bad)).to_have_attribute("data-reason", "Failed")
    mark.touch()
    await page.get_by_label("Select all listed jobs").check()
    await expect(page.get_by_test_id("chosen")).to_contain_text("3 jobs selected")
    await page.get_by_role("button", name="Retry 2 failed").click()
    for job in (bad, worse):
        await expect(row(page, job)).to_have_attribute("data-reason", "Success")
    # What was done is no longer chosen.
    await expect(page.get_by_test_id("chosen")).to_contain_text("1 job selected")

    async with asman.connect(hub.queue(QUEUE)) as queue:
        before = (await queue.get(good)).state.queued
        await page.get_by_role("button", name="Run 1 job again").click()
        await expect(page.get_by_text("1 job submitted again.")).to_be_visible()
        assert (await queue.get(good)).state.queued > before
    assert browser.errors == []


async def test_results_of_chosen_jobs_are_one_archive_with_their_logs(
    browser: TestBrowser, hub: HubProcess, tmp_path: Path
) -> None:
    first, second = await _jobs(hub, "sh -c 'echo one; echo 1 > $JOB_OUTPUTS/n.txt'", "sh -c 'echo two; exit 4'")
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    # The picker of files, which headless browsers lack, gives way to a plain download.
    await page.evaluate("delete window.showSaveFilePicker; window.showSaveFilePicker = undefined")
    await _choose(page, first, second)
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download 2 results").click()
    saved = tmp_path / "jobs.zip"
    await (await download.value).save_as(saved)
    with zipfile.ZipFile(saved) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {
        f"{first[:8]}/log.txt": b"one\n",
        f"{first[:8]}/outputs/n.txt": b"1\n",
        f"{second[:8]}/log.txt": b"two\n",
    }
    assert browser.errors == []


async def test_chosen_jobs_are_deleted_by_a_second_click(browser: TestBrowser, hub: HubProcess) -> None:
    kept, gone, too = await _jobs(hub, "echo kept", "echo gone", "sh -c 'exit 2'")
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    await _choose(page, gone, too)
    await page.get_by_role("button", name="Delete 2 jobs").click()
    sure = page.get_by_role("button", name="Delete 2 jobs for good?")
    await expect(sure).to_be_visible()
    await page.get_by_role("button", name="Clear selection").focus()
    await expect(sure).to_have_count(0)
    await page.get_by_role("button", name="Delete 2 jobs").click()
    await sure.click()
    for job in (gone, too):
        await expect(row(page, job)).to_have_count(0)
    await expect(row(page, kept)).to_be_visible()
    async with asman.connect(hub.queue(QUEUE)) as queue:
        assert [job.id async for job in queue.jobs()] == [kept]
    assert browser.errors == []


async def test_the_table_by_keys(browser: TestBrowser, hub: HubProcess) -> None:
    ids = await _jobs(hub, *(f"echo {n}" for n in range(60)))
    newest = list(reversed(ids))
    page = await browser.open(hub.queue(QUEUE), height=500)
    await connected(page)
    await expect(row(page, newest[0])).to_be_visible()
    press = page.keyboard.press

    async def focused() -> str:
        return str(await page.evaluate("document.activeElement.closest('.job-row')?.dataset.job ?? ''"))

    await press("j")
    assert await focused() == newest[0]
    for n in range(1, 40):
        await press("j")
        await page.wait_for_function(
            "id => document.activeElement.closest('.job-row')?.dataset.job === id", arg=newest[n]
        )
    await expect(row(page, newest[39]).get_by_role("link")).to_be_in_viewport()
    await press("x")
    await expect(page.get_by_test_id("chosen")).to_contain_text("1 job selected")
    await press("k")
    assert await focused() == newest[38]
    await press("Enter")
    await expect(detail(page)).to_have_attribute("data-job", newest[38])
    assert browser.errors == []


async def test_charts_show_what_ran_before_the_page_was_opened(browser: TestBrowser, hub: HubProcess) -> None:
    await _jobs(hub, *(f"echo {n}" for n in range(6)), "sh -c 'exit 1'", "sh -c 'exit 2'")
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    await page.get_by_text("Charts").click()
    charts = page.get_by_test_id("charts")
    await expect(page.get_by_test_id("chart-summary")).to_have_text("8 jobs finished, 75 % succeeded.")
    await expect(charts).to_have_attribute("data-good", "6")
    await expect(charts).to_have_attribute("data-bad", "2")
    for name in ("1 day", "7 days"):
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_test_id("chart-summary")).to_have_text("8 jobs finished, 75 % succeeded.")
    await _jobs(hub, "echo later")
    await expect(charts).to_have_attribute("data-good", "7")
    await page.get_by_role("button", name="2 minutes").click()
    await expect(page.get_by_role("figure", name=re.compile("Finished per second"))).to_be_visible()
    assert browser.errors == []
