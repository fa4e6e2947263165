"""The page in a real browser, on a real hub with a real worker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

import asman
from scripts.engine import Engine
from tests.support.browser import TestBrowser
from tests.support.processes import AsmanProcesses, HubProcess

ROOT = Path(__file__).parents[2]
QUEUE = "browser-test-queue"
WIDE = (1280, 900)
PHONE = (360, 740)

Hub = Callable[..., HubProcess]


@pytest.fixture(autouse=True)
def page_is_built() -> None:
    if not (ROOT / "server/asman_server/page/index.html").is_file():
        pytest.fail("the page is not built; make web builds it", pytrace=False)


@pytest.fixture
def hub(hub_process: Hub) -> HubProcess:
    """A hub without workers."""
    return hub_process()


@pytest.fixture
def process_worker(processes: AsmanProcesses, hub: HubProcess, tmp_path: Path) -> None:
    """A worker of the queue that runs jobs without containers, so that a test can steer them through files."""
    processes.worker(
        hub.queue(QUEUE), "--executor", "process", "--name", "bench", "--data-dir", str(tmp_path / "worker")
    )


def row(page: Page, job_id: str) -> Locator:
    return page.locator(f'[data-testid="job-row"][data-job="{job_id}"]')


async def connected(page: Page) -> None:
    await expect(page.get_by_test_id("connection")).to_have_text("connected")


async def no_sideways_scroll(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def log_lines(page: Page) -> list[tuple[int, str, str]]:
    """Every line that the page holds: its seq, its stream and its text."""
    found = await page.get_by_test_id("log-line").evaluate_all(
        """lines => lines.map(line => [
            Number(line.dataset.seq),
            line.dataset.stream,
            line.querySelector('[data-testid="log-text"]').textContent,
        ])"""
    )
    return [(int(seq), str(stream), str(text)) for seq, stream, text in found]


def said(lines: list[tuple[int, str, str]]) -> list[str]:
    """What the job itself wrote, without the worker's words about it."""
    return [text for _, stream, text in lines if stream != "sys"]


def looping_command(stop: Path) -> str:
    """Counts aloud until the file ``stop`` is there, and says last how far it came."""
    script = f'n=0; while [ ! -e {stop} ]; do echo "line $n"; n=$((n+1)); sleep 0.02; done; echo "end $n"'
    return f"sh -c '{script}'"


async def test_a_job_in_a_container_from_queued_to_finished(
    browser: TestBrowser,
    hub: HubProcess,
    processes: AsmanProcesses,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    assert engine.host
    page = await browser.open(hub.queue(QUEUE), width=WIDE[0], height=WIDE[1])
    await connected(page)
    await expect(page.get_by_text("No worker is connected")).to_be_visible()

    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(
            image=busybox_image,
            command="sh -c 'echo to stdout; echo to stderr >&2; echo kept > /outputs/result.txt'",
        )
        await expect(row(page, job.id)).to_have_attribute("data-state", "Queued")

        processes.worker(hub.queue(QUEUE), "--name", "bench", "--data-dir", str(tmp_path / "worker"))
        worker = page.get_by_test_id("worker-row")
        await expect(worker).to_have_attribute("data-state", "ready")
        await expect(worker).to_contain_text("bench")
        await expect(row(page, job.id)).to_have_attribute("data-reason", "Success", timeout=60_000)
        await expect(row(page, job.id)).to_contain_text("bench")
        await expect(row(page, job.id)).to_contain_text(re.compile(r"\d m?s"))
        await page.screenshot(path=tmp_path / "queue.png")

    await row(page, job.id).get_by_role("link").click()
    detail = page.get_by_test_id("job-detail")
    await expect(detail).to_have_attribute("data-state", "Finished")
    await expect(page.get_by_test_id("verdict")).to_contain_text("exit code 0")
    await expect(page.locator('[data-testid="log-line"][data-stream="out"]')).to_contain_text("to stdout")
    await expect(page.locator('[data-testid="log-line"][data-stream="err"]')).to_contain_text("to stderr")
    assert [seq for seq, _, _ in await log_lines(page)] == list(range(len(await log_lines(page))))
    output = page.get_by_test_id("output").get_by_role("link")
    await expect(output).to_have_text("result.txt")
    address = await output.evaluate("link => link.href")
    answer = await page.request.get(address)
    assert await answer.text() == "kept\n"
    await page.screenshot(path=tmp_path / "job.png", full_page=True)

    await page.get_by_role("link", name="All jobs").click()
    await expect(row(page, job.id)).to_be_visible()
    assert (tmp_path / "queue.png").stat().st_size > 0
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_job_submitted_on_the_page_and_its_failure(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(f"{hub.url}/#?queue={QUEUE}")
    await connected(page)
    await page.get_by_role("textbox", name="Command").fill("sh -c 'echo no luck >&2; exit 3'")
    await page.get_by_role("button", name="Run").click()
    await page.get_by_role("status").get_by_role("link").click()

    detail = page.get_by_test_id("job-detail")
    await expect(detail).to_have_attribute("data-reason", "Failed")
    await expect(page.get_by_test_id("verdict")).to_contain_text("exit code 3")
    await expect(page.locator('[data-testid="log-line"][data-stream="err"]')).to_contain_text("no luck")
    assert said(await log_lines(page)) == ["no luck"]

    await page.get_by_role("link", name="All jobs").click()
    await page.get_by_role("textbox", name="Command").fill("sh -c 'echo no luck >&2; exit 3'")
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_text("This very job ran before")).to_be_visible()
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_reload_in_the_middle_continues_the_log(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command=looping_command(stop))
        page = await browser.open(f"{hub.url}/j/{job.id}#?queue={QUEUE}")
        await expect(page.locator('[data-testid="log-line"]', has_text=re.compile("line 20$"))).to_be_attached()
        await page.reload()
        await expect(page.locator('[data-testid="log-line"]', has_text=re.compile("line 60$"))).to_be_attached()
        stop.touch()
        await expect(page.get_by_test_id("job-detail")).to_have_attribute("data-reason", "Success")

    await expect(page.locator('[data-testid="log-line"]', has_text=re.compile("end "))).to_be_attached()
    lines = await log_lines(page)
    assert [seq for seq, _, _ in lines] == list(range(len(lines)))
    *counted, last = said(lines)
    assert counted == [f"line {n}" for n in range(len(counted))]
    assert last == f"end {len(counted)}"
    await expect(page.get_by_test_id("log-gap")).to_have_count(0)
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_the_hub_killed_and_back_continues_the_log(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command=looping_command(stop))
    page = await browser.open(f"{hub.url}/j/{job.id}#?queue={QUEUE}")
    await expect(page.locator('[data-testid="log-line"]', has_text=re.compile("line 20$"))).to_be_attached()

    await asyncio.to_thread(hub.kill)
    await expect(page.get_by_test_id("connection")).to_have_text("reconnecting")
    await asyncio.to_thread(hub.start)
    await connected(page)
    stop.touch()
    await expect(page.get_by_test_id("job-detail")).to_have_attribute("data-reason", "Success", timeout=60_000)

    await expect(page.locator('[data-testid="log-line"]', has_text=re.compile("end "))).to_be_attached()
    lines = await log_lines(page)
    assert [seq for seq, _, _ in lines] == list(range(len(lines)))
    *counted, last = said(lines)
    assert counted == [f"line {n}" for n in range(len(counted))]
    assert last == f"end {len(counted)}"


@pytest.mark.usefixtures("process_worker")
async def test_cancel(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command=looping_command(tmp_path / "never"))
    page = await browser.open(hub.queue(QUEUE))
    await expect(row(page, job.id)).to_have_attribute("data-state", "Running")
    await row(page, job.id).get_by_role("link").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_test_id("job-detail")).to_have_attribute("data-reason", "Cancelled")
    await expect(page.get_by_role("button", name="Run again")).to_be_visible()
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_on_a_phone_in_the_dark(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    page = await browser.open(hub.url, width=PHONE[0], height=PHONE[1])
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await page.get_by_role("button", name="Make a new queue").click()
    await no_sideways_scroll(page)
    await page.screenshot(path=tmp_path / "start.png")

    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command=f"sh -c 'echo {'very-long-word-' * 30}; echo done'")
        await job.result()
    await page.goto(hub.queue(QUEUE))
    await expect(page.get_by_test_id("worker-row")).to_be_visible()
    await expect(row(page, job.id)).to_have_attribute("data-state", "Finished")
    await no_sideways_scroll(page)
    await page.screenshot(path=tmp_path / "queue.png")

    await row(page, job.id).get_by_role("link").click()
    await expect(page.get_by_test_id("log-line").last).to_contain_text("done")
    await no_sideways_scroll(page)
    await page.screenshot(path=tmp_path / "job.png", full_page=True)
    assert browser.errors == []


async def test_bad_addresses_say_what_is_wrong(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(f"{hub.url}/#?queue=not%20a%20queue")
    await expect(page.get_by_role("alert")).to_contain_text("is not a queue's name")
    await expect(page.get_by_label("Queue name or address")).to_be_visible()

    nothing = "0" * 64
    page = await browser.open(f"{hub.url}/j/{nothing}#?queue={QUEUE}")
    await expect(page.get_by_role("alert")).to_contain_text("does not know the job")

    page = await browser.open(f"{hub.url}/j/{nothing}")
    await page.get_by_label("Queue name or address").fill(QUEUE)
    await page.get_by_role("button", name="Show the job").click()
    await connected(page)
    assert browser.errors == []
