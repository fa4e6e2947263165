"""A page of another origin can't run anything on the machine of its visitor, whatever address it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Locator, Page, expect

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.engine import Engine
from devtools.page import detail, job_address, main_action, no_sideways_scroll, violations
from devtools.ports import free_port
from tests.support.parent_page import served

QUEUE = "queue-of-this-machine"


def foreign_page(port: int, html: str) -> AbstractContextManager[str]:
    """Serves a page of another origin for as long as the block lasts; gives its address."""
    return served({"/": ("text/html", html.encode())}, port)


@pytest.fixture(params=["docker", "oci", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def job(executor: str, request: pytest.FixtureRequest) -> dict[str, str]:
    made = {"command": "echo ran"}
    return made if executor == "process" else {**made, "image": str(request.getfixturevalue("busybox_image"))}


Up = Callable[..., HubProcess]


@pytest.fixture
def up(processes: AsmanProcesses, executor: str, engine: Engine, busybox_archive: Path) -> Up:
    """Starts the hub and worker of this machine, which pages find by the name ``local``."""
    assert engine.host
    images = {
        "docker": ["--local-images", "asman-test/*"],
        "oci": ["--oci-image", str(busybox_archive)],
        "process": ["--local-without-containers"],
    }

    def start(*more: str) -> HubProcess:
        local = ["--local-port", str(free_port()), "--queue", QUEUE, "--cpus", "1"]
        return processes.hub("--executor", executor, *local, *images[executor], *more, command="up")

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


async def test_the_start_page_offers_this_machine_s_queue_and_its_examples_have_a_worker(
    browser: TestBrowser, up: Up
) -> None:
    hub = await asyncio.to_thread(up)
    page = await browser.open(hub.url)
    await page.get_by_role("link", name="Hello").first.click()
    await expect(page.get_by_text("no worker is connected")).to_have_count(0)
    await expect(main_action(page)).to_be_enabled()
    assert await jobs(hub) == []
    await browser.open(hub.url)
    await page.goto(hub.url)
    await page.get_by_role("link", name="open it").click()
    await expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    assert browser.errors == []


async def test_the_examples_run_at_once_on_this_machine(browser: TestBrowser, up: Up, job: dict[str, str]) -> None:
    image = ["--default-image", job["image"]] if "image" in job else []
    hub = await asyncio.to_thread(up, *image)
    page = await browser.open(hub.url)
    for name, shown in (("Say hello", "hello 5"), ("Count words", "5 a"), ("Draw a picture", "drawn")):
        await page.goto(hub.url)
        await page.get_by_role("link", name=name).click()
        await expect(main_action(page)).to_be_enabled()
        await main_action(page).click()
        await expect(detail(page)).to_have_attribute("data-reason", "Success", timeout=60_000)
        await expect(page.get_by_test_id("log")).to_contain_text(shown)
    await expect(page.locator(".preview img")).to_be_visible()
    assert browser.errors == []


def field(page: Page, name: str) -> Locator:
    """Returns the box with one part of what Run will run."""
    return page.get_by_test_id("what-runs").locator(f'[data-field="{name}"]')


@pytest.mark.parametrize("executor", ["docker"], indirect=True)
async def test_beside_run_stands_all_that_it_will_run(browser: TestBrowser, up: Up, job: dict[str, str]) -> None:
    """However long the command is, and whatever characters it has."""
    hub = await asyncio.to_thread(up, "--default-image", job["image"])
    command = "echo harmless" + " " * 3000 + "\n" * 200 + "; echo step" * 300 + "; echo \u202ednes; touch /marker"
    told = {**job, "entrypoint": "/bin/sh -c", "command": command}
    page = await browser.open(address(hub, told))
    await held_back(page)
    await expect(main_action(page)).to_have_text("Run")
    await expect(field(page, "Image")).to_have_text(job["image"])
    await expect(field(page, "Entrypoint")).to_have_text("/bin/sh -c")
    box = field(page, "Command")
    await expect(box).to_contain_text("; echo U+202Ednes; touch /marker")
    assert await box.locator("mark").all_text_contents() == ["space × 3000", "\\n × 200", "U+202E"]
    # A person can see its end: nothing of the text is outside of what the box scrolls through.
    await box.evaluate("box => box.scrollTo(0, box.scrollHeight)")
    assert await box.evaluate(
        """box => {
            const range = document.createRange();
            const last = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
            let node = null;
            while (last.nextNode()) node = last.currentNode;
            range.setStart(node, node.length - 1);
            range.setEnd(node, node.length);
            const [end, frame] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
            return end.bottom <= frame.bottom && end.right <= frame.right && end.top >= frame.top;
        }"""
    )
    await no_sideways_scroll(page)
    assert await violations(page) == []
    # The image that a job without one gets is told before the click, and so is a build.
    plain = job_address(hub.url, {"command": "echo ran"}, queue="local", autostart="true")
    await page.evaluate("url => { location.hash = new URL(url).hash }", plain)
    await expect(field(page, "Command")).to_have_text("echo ran")
    await expect(field(page, "Image")).to_have_text(job["image"])
    build = {"dockerfile": f"FROM {job['image']}\nRUN echo built"}
    built = job_address(hub.url, {"build": build, "command": "echo ran"}, queue="local", autostart="true")
    await page.evaluate("url => { location.hash = new URL(url).hash }", built)
    await expect(field(page, "Dockerfile")).to_contain_text("RUN echo built")
    await expect(field(page, "Image")).to_have_count(0)
    assert await jobs(hub) == []


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
