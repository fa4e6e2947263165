"""The page with each key in its address: it shows what the key allows, hides the rest, and hands on no more."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Locator, Page, expect

import asman
from asman_shared.keys.derived import KeyKind, derived_keys
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, job_address, main_action, row
from devtools.ports import free_port

KEYS = derived_keys(QUEUE)


async def submitted(hub: HubProcess, **fields: Any) -> asman.Job:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        return await queue.submit(**fields)


async def ways(page: Page) -> dict[str, str]:
    """The ways to share that the open dialog offers, by their titles."""
    found = page.get_by_role("dialog").locator(".way")
    await expect(found.first).to_be_visible()
    titles = await found.locator("h3").all_inner_texts()
    return dict(zip(titles, await found.locator("code").all_inner_texts(), strict=True))


def share(page: Page) -> Locator:
    return page.get_by_role("button", name="Share", exact=True)


async def test_a_read_key_shows_the_queue_and_changes_nothing(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    job = await submitted(hub, command="echo seen", env={"TOKEN": "a-secret"})
    page = await browser.open(hub.queue(KEYS[KeyKind.READ]))
    await connected(page)
    await expect(row(page, job.id)).to_have_attribute("data-reason", "Success")
    await expect(page.get_by_test_id("worker-row")).to_have_count(1)
    await expect(page.get_by_role("heading", name="Run a job")).to_have_count(0)
    await expect(page.get_by_role("checkbox")).to_have_count(0)
    await expect(page.get_by_text("Add a worker")).to_have_count(0)
    await row(page, job.id).get_by_role("link").first.click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await expect(page.get_by_text("seen", exact=True).first).to_be_visible()
    await expect(page.get_by_text("This link does not let you run jobs")).to_be_visible()
    await expect(main_action(page)).to_have_count(0)
    for hidden in ("Delete result", "Run again", "New text file", "Undo"):
        await expect(page.get_by_role("button", name=hidden)).to_have_count(0)
    await share(page).click()
    offered = await ways(page)
    assert set(offered) == {
        "This result to read",
        "This result in its queue",
        "This queue to watch",
        "Embedded in another page, to watch",
    }
    assert QUEUE not in await page.content()
    assert "a-secret" not in await page.content()
    other = await browser.open(offered["This result to read"])
    await expect(other.get_by_text("a-secret")).to_have_count(0)
    assert browser.errors == []


async def test_a_key_to_submit_and_read_runs_jobs(browser: TestBrowser, hub: HubProcess, process_worker: None) -> None:
    del process_worker
    await submitted(hub, command="echo first")
    key = KEYS[KeyKind.SUBMIT_READ]
    page = await browser.open(job_address(hub.url, {"command": "echo by key", "env": {"A": "b"}}, queue=key))
    await connected(page)
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await expect(page.get_by_text("by key", exact=True).first).to_be_visible()
    await share(page).click()
    offered = await ways(page)
    assert offered["This queue to use"] == f"{hub.url}/q/{key}"
    assert key in offered["The job, ready to run"]
    assert {"This queue to watch", "A worker for it"}.isdisjoint(offered)
    assert QUEUE not in await page.content()
    assert browser.errors == []


async def test_the_owner_hands_on_keys_that_work(
    browser: TestBrowser, hub: HubProcess, processes: AsmanProcesses, tmp_path: Path
) -> None:
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    await share(page).click()
    offered = await ways(page)
    assert offered.keys() == {
        "This queue to watch",
        "This queue to use",
        "A worker for it",
        "Embedded in another page, to watch",
        "Embedded in another page, to use",
    }
    assert f'src="{hub.url}/q/{KEYS[KeyKind.READ]}"' in offered["Embedded in another page, to watch"]
    assert f'src="{hub.url}/q/{KEYS[KeyKind.SUBMIT_READ]}"' in offered["Embedded in another page, to use"]
    await expect(page.get_by_test_id("frame-origins")).to_have_count(0)
    assert offered["This queue to watch"] == f"{hub.url}/q/{KEYS[KeyKind.READ]}"
    assert offered["This queue to use"] == f"{hub.url}/q/{KEYS[KeyKind.SUBMIT_READ]}"
    variable, *command = shlex.split(offered["A worker for it"])
    assert (variable, command) == (f"ASMAN_QUEUE={hub.url}/q/{KEYS[KeyKind.WORK]}", ["asman", "worker"])
    name, _, url = variable.partition("=")
    worker = ("--executor", "process", "--name", "handed-on", "--data-dir", str(tmp_path / "worker"))
    await asyncio.to_thread(processes.run, "worker", *worker, environment={name: url})
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("worker-row")).to_contain_text("handed-on")
    watching = await browser.open(offered["This queue to watch"])
    using = await browser.open(offered["This queue to use"])
    await using.get_by_label("Command", exact=True).fill("echo handed on")
    await using.get_by_role("button", name="Run", exact=True).click()
    for each in (page, using, watching):
        await expect(each.locator("[data-testid=job-row][data-reason=Success]")).to_have_count(1)
    assert browser.errors == []


async def test_a_job_is_shared_without_the_name_of_its_queue(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    page = await browser.open(job_address(hub.url, {"command": "echo shared"}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await share(page).click()
    offered = await ways(page)
    assert {"This result to read", "This queue to watch", "This queue to use", "A worker for it"} <= set(offered)
    assert not any(re.search(rf"\b{QUEUE}\b", text) for text in offered.values())
    for title in ("The job, ready to run", "This result in its queue"):
        other = await browser.open(offered[title])
        await expect(detail(other)).to_have_attribute("data-reason", "Success")
    assert browser.errors == []


async def test_a_key_that_no_queue_has_is_told_in_a_sentence(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(hub.queue(KEYS[KeyKind.READ]))
    await expect(page.get_by_role("alert")).to_contain_text("knows no queue with the key of this link")
    await submitted(hub, command="echo now it is")
    await page.reload()
    await connected(page)
    await expect(page.get_by_test_id("job-row")).to_have_count(1)
    assert urlsplit(page.url).path == f"/q/{KEYS[KeyKind.READ]}"


async def test_a_key_to_submit_alone_runs_a_job_and_shows_how_it_ends(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    await submitted(hub, command="echo first")
    page = await browser.open(job_address(hub.url, {"command": "sh -c 'exit 4'"}, queue=KEYS[KeyKind.SUBMIT]))
    await connected(page)
    await expect(page.get_by_role("heading", name="Log", exact=True)).to_have_count(0)
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Failed")
    await expect(page.get_by_text("exit code 4").first).to_be_visible()
    assert browser.errors == []


async def test_the_share_of_a_hub_with_a_queue_of_its_machine_says_who_may_embed_it(
    browser: TestBrowser, processes: AsmanProcesses
) -> None:
    local = ["--local-port", str(free_port()), "--queue", QUEUE, "--executor", "process", "--local-without-containers"]
    hub = await asyncio.to_thread(processes.hub, *local, command="up")
    page = await browser.open(hub.queue(QUEUE))
    await connected(page)
    await share(page).click()
    await expect(page.get_by_test_id("frame-origins")).to_contain_text("--allow-origin")
    assert browser.errors == []


async def test_a_key_for_workers_shows_the_command_for_one_and_nothing_else(
    browser: TestBrowser, hub: HubProcess
) -> None:
    await submitted(hub, command="echo first")
    page = await browser.open(hub.queue(KEYS[KeyKind.WORK]))
    await expect(page.get_by_role("alert")).to_contain_text("This link is for a worker")
    await expect(page.get_by_test_id("for-worker")).to_contain_text(f"'{hub.queue(KEYS[KeyKind.WORK])}' asman worker")
    await expect(page.get_by_text("grants neither")).to_have_count(0)
    for part in ("Workers", "Jobs", "Run a job"):
        await expect(page.get_by_role("heading", name=part, exact=True)).to_have_count(0)
