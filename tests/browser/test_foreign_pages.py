"""A page of another origin can't run anything on the machine of its visitor, whatever address it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import aiohttp
import pytest
from playwright.async_api import Page, expect

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.engine import Engine
from devtools.page import detail, job_address, main_action
from devtools.ports import free_port
from tests.support.parent_page import served

QUEUE = "queue-of-this-machine"


def foreign_page(port: int, html: str) -> AbstractContextManager[str]:
    """Serves a page of another origin for as long as the block lasts; gives its address."""
    return served({"/": ("text/html", html.encode())}, port)


@pytest.fixture(params=["docker", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def job(executor: str, request: pytest.FixtureRequest) -> dict[str, str]:
    made = {"command": "echo ran"}
    return made if executor == "process" else {**made, "image": str(request.getfixturevalue("busybox_image"))}


Up = Callable[..., HubProcess]


@pytest.fixture
def up(processes: AsmanProcesses, executor: str, engine: Engine) -> Up:
    """Starts the hub and worker of this machine, which pages find by the name ``local``."""
    assert engine.host

    def start(*more: str) -> HubProcess:
        local = ["--local-port", str(free_port()), "--queue", QUEUE, "--cpus", "1"]
        own = ["--local-without-containers"] if executor == "process" else ["--local-images", "asman-test/*"]
        return processes.hub("--executor", executor, *local, *own, *more, command="up")

    return start


def address(hub: HubProcess, job: dict[str, str]) -> str:
    return job_address(hub.url, job, queue="local", autostart="true", allowsetjob="true")


async def jobs(hub: HubProcess) -> list[object]:
    async with aiohttp.ClientSession() as http, http.get(f"{hub.queue(QUEUE)}/jobs") as answer:
        found: list[object] = (await answer.json())["jobs"]
        return found


async def held_back(page: Page) -> None:
    """Waits until the page knows that the job has no result, which is when it would start it."""
    await expect(detail(page)).to_have_attribute("data-state", "none", timeout=20_000)
    await expect(page.get_by_text("This link asks to start the job by itself")).to_be_visible()


async def test_a_link_that_is_followed_runs_nothing_until_run_is_clicked(
    browser: TestBrowser, up: Up, job: dict[str, str]
) -> None:
    hub = await asyncio.to_thread(up)
    page = await browser.open(address(hub, job))
    await held_back(page)
    assert await jobs(hub) == []
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success", timeout=60_000)
    # An address that is exchanged in the open page runs nothing either.
    other = address(hub, {**job, "command": "echo another"})
    await page.evaluate("url => { location.hash = new URL(url).hash }", other)
    await held_back(page)
    assert len(await jobs(hub)) == 1


async def test_a_frame_of_a_foreign_page_stays_empty(browser: TestBrowser, up: Up, job: dict[str, str]) -> None:
    hub = await asyncio.to_thread(up)
    with foreign_page(
        0, f'<iframe name="hub" src="{address(hub, job)}" onload="window.loaded = true"></iframe>'
    ) as url:
        page = await browser.open(url)
        await page.wait_for_function("window.loaded === true")
        frame = page.frame("hub")
        assert frame is not None
        assert await frame.locator("[data-testid]").count() == 0
        assert any("frame-ancestors" in error for error in browser.errors)
    assert await jobs(hub) == []


async def test_a_window_that_a_foreign_page_opens_is_out_of_its_reach(
    browser: TestBrowser, up: Up, job: dict[str, str]
) -> None:
    hub = await asyncio.to_thread(up)
    with foreign_page(0, "<button>open</button>") as url:
        page = await browser.open(url)
        start = f"() => {{ window.theirs = window.open({address(hub, {**job, 'command': 'echo first'})!r}) }}"
        async with page.expect_popup() as opening:
            await page.evaluate(start)
        popup = await opening.value
        await held_back(popup)
        await page.evaluate("url => { window.theirs.location = url }", address(hub, job))
        await page.wait_for_function("window.theirs.closed")
        await held_back(popup)
        assert "first" in await popup.evaluate(
            "decodeURIComponent(atob(new URLSearchParams(location.hash.slice(2)).get('job')))"
        )
    assert await jobs(hub) == []


async def test_a_frame_of_an_allowed_page_runs_its_job(browser: TestBrowser, up: Up, job: dict[str, str]) -> None:
    port = free_port()
    hub = await asyncio.to_thread(up, "--allow-origin", f"http://127.0.0.1:{port}")
    with foreign_page(port, f'<iframe name="hub" src="{address(hub, job)}" width="800" height="600"></iframe>') as url:
        page = await browser.open(url)
        shown = page.frame_locator("iframe[name='hub']").get_by_test_id("job-detail")
        await expect(shown).to_have_attribute("data-reason", "Success", timeout=60_000)
