"""Fifteen journeys through the page in Debian's Firefox; the other tests of this folder use Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import asman
from devtools.asman_processes import HubProcess
from devtools.firefox import FirefoxTab, firefox_process, firefox_tab
from devtools.page import QUEUE, job_address
from tests.support.prefix_door import prefix_door

STATE = "document.querySelector('[data-testid=job-detail]')?.dataset"
MARKED = "document.querySelector('.line.current')"


@pytest.fixture(scope="module")
def firefox_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Firefox, for all journeys."""
    with firefox_process(tmp_path_factory.mktemp("firefox")) as address:
        yield address


@pytest.fixture
async def tab(firefox_address: str) -> AsyncIterator[FirefoxTab]:
    """A tab in an empty profile, whose page may report no error."""
    async with firefox_tab(firefox_address) as opened:
        yield opened
        assert opened.errors == []


async def _connected(tab: FirefoxTab) -> None:
    await tab.until("document.querySelector('[data-testid=connection]')?.dataset.status === 'open'")


async def _ended(tab: FirefoxTab, reason: str) -> None:
    await tab.until(f"{STATE}?.reason === '{reason}'")


async def _ran(hub: HubProcess, *commands: str) -> list[str]:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        jobs = [await queue.submit(command=command) for command in commands]
        await asyncio.gather(*(job.wait() for job in jobs))
        return [job.id for job in jobs]


def _says(line: str) -> str:
    """Whether the log shows a line."""
    return f"[...document.querySelectorAll('[data-testid=log-text]')].some(each => each.textContent === '{line}')"


def _row(job: str) -> str:
    return f'[data-testid="job-row"][data-job="{job}"]'


async def test_1_a_visitor_makes_a_queue_and_is_told_how_to_add_a_worker(tab: FirefoxTab, hub: HubProcess) -> None:
    await tab.goto(hub.url)
    await tab.click("button", "Create a queue")
    await tab.sees("asman worker")
    await tab.click("button", "Open the queue")
    await _connected(tab)
    await tab.sees("No worker is connected")


async def test_2_an_example_opens_with_its_files_and_waits_for_a_worker(tab: FirefoxTab, hub: HubProcess) -> None:
    await tab.goto(hub.url)
    await tab.click("a", "Count words")
    await tab.until("document.querySelectorAll('[data-testid=input]').length === 2")
    await tab.sees("no worker is connected")
    await tab.sees("asman worker")


@pytest.mark.usefixtures("process_worker")
async def test_3_a_command_runs_and_its_log_streams(tab: FirefoxTab, hub: HubProcess, tmp_path: Path) -> None:
    await tab.goto(hub.queue(QUEUE))
    await _connected(tab)
    go_on = tmp_path / "go-on"
    await tab.fill(
        'input[name="command"]', "", f"sh -c 'echo first; until test -e {go_on}; do sleep 0.1; done; echo last'"
    )
    await tab.press("Enter")
    await tab.click("[role=status] a")
    await tab.until(
        "[...document.querySelectorAll('[data-testid=log-text]')].some(each => each.textContent === 'first')"
    )
    await tab.until(f"{STATE}?.state === 'Running'")
    go_on.touch()
    await _ended(tab, "Success")
    await tab.until(
        "[...document.querySelectorAll('[data-testid=log-text]')].some(each => each.textContent === 'last')"
    )


@pytest.mark.usefixtures("process_worker")
async def test_4_a_failure_says_why_and_leads_to_its_first_error(tab: FirefoxTab, hub: HubProcess) -> None:
    (job,) = await _ran(hub, "sh -c 'seq 1 2000; echo Error: the disk is full >&2; seq 1 2000; exit 5'")
    await tab.goto(f"{hub.url}/j/{job}#?queue={QUEUE}")
    await _ended(tab, "Failed")
    await tab.sees("exit code 5")
    # Nothing moves under the pointer once the log is there.
    await tab.until("document.querySelector('#log-title')?.textContent.includes('001 lines')")
    await tab.click("button", "First error")
    await tab.until(f"{MARKED}?.textContent.includes('the disk is full')")
    assert await tab.evaluate(f"{MARKED}.dataset.stream") == "err"


@pytest.mark.usefixtures("process_worker")
async def test_5_a_job_is_edited_undone_and_run(tab: FirefoxTab, hub: HubProcess) -> None:
    await tab.goto(job_address(hub.url, {"command": "echo older"}))
    await tab.until("document.querySelector('h1')?.textContent === 'echo older'")
    await tab.fill('[data-testid="settings"] textarea', "Command", "echo newer")
    await tab.until("document.querySelector('h1')?.textContent === 'echo newer'")
    await tab.click("button", "Undo")
    await tab.until("document.querySelector('h1')?.textContent === 'echo older'")
    await tab.click("button", "Redo")
    await tab.until("document.querySelector('h1')?.textContent === 'echo newer'")
    await tab.click('[data-testid="main-action"]', "Run")
    await _ended(tab, "Success")
    await tab.until("document.querySelector('[data-testid=log-text]')?.textContent === 'newer'")


@pytest.mark.usefixtures("process_worker")
async def test_6_a_text_is_edited_in_place_and_is_what_the_job_reads(tab: FirefoxTab, hub: HubProcess) -> None:
    await tab.goto(job_address(hub.url, {"command": "cat $JOB_INPUTS/note.txt"}, {"note.txt": "one"}))
    await tab.click("button", "Edit note.txt")
    await tab.click(".cm-content")
    await tab.press("a", control=True)
    await tab.write("two words")
    await tab.until("location.hash.includes('inputs=')")
    await tab.until("document.querySelector('[data-testid=input] .file-facts').textContent.includes('9 B')")
    await tab.click('[data-testid="main-action"]', "Run")
    await _ended(tab, "Success")
    await tab.until("document.querySelector('[data-testid=log-text]')?.textContent === 'two words'")


@pytest.mark.usefixtures("process_worker")
async def test_7_a_binary_file_is_sent_whole_and_never_edited(tab: FirefoxTab, hub: HubProcess, tmp_path: Path) -> None:
    data = tmp_path / "data.bin"
    data.write_bytes(bytes(range(256)) * 4096)
    await tab.goto(job_address(hub.url, {"command": "sh -c 'wc -c < $JOB_INPUTS/data.bin'"}))
    await tab.until("document.querySelector('input[type=file]') !== null")
    await tab.choose_files('input[aria-label="Files to add"]', [data])
    await tab.until("document.querySelector('[data-testid=input] .file-facts')?.textContent.includes('1 MiB')")
    await tab.click("button", "Edit data.bin")
    await tab.sees("can be edited here. To change it, add a file of the same name.")
    assert await tab.evaluate("document.querySelector('.cm-editor, [data-testid=input] textarea') === null")
    await tab.click('[data-testid="main-action"]', "Run")
    await _ended(tab, "Success")
    await tab.until("document.querySelector('[data-testid=log-text]')?.textContent.trim() === '1048576'")


@pytest.mark.usefixtures("process_worker")
async def test_8_a_running_job_is_cancelled(tab: FirefoxTab, hub: HubProcess) -> None:
    await tab.goto(job_address(hub.url, {"command": "sleep 1000"}))
    await tab.click('[data-testid="main-action"]', "Run")
    await tab.until(f"{STATE}?.state === 'Running'")
    await tab.click('[data-testid="main-action"]', "Cancel job")
    await _ended(tab, "Cancelled")


@pytest.mark.usefixtures("process_worker")
async def test_9_the_list_is_filtered_and_walked_by_keys(tab: FirefoxTab, hub: HubProcess) -> None:
    good, bad = await _ran(hub, "echo fine", "sh -c 'exit 3'")
    await tab.goto(hub.queue(QUEUE))
    await tab.until("document.querySelectorAll('[data-testid=job-row]').length === 2")
    await tab.click("[aria-label=State] button", "Failed")
    await tab.until("document.querySelectorAll('[data-testid=job-row]').length === 1")
    await tab.click("[aria-label=State] button", "All")
    await tab.until("document.querySelectorAll('[data-testid=job-row]').length === 2")
    await tab.evaluate("document.activeElement.blur()")
    for expected in (bad, good):
        await tab.press("j")
        await tab.until(f"document.activeElement.closest('.job-row')?.dataset.job === '{expected}'")
    await tab.press("k")
    await tab.until(f"document.activeElement.closest('.job-row')?.dataset.job === '{bad}'")
    await tab.press("Enter")
    await tab.until(f"{STATE}?.job === '{bad}'")


@pytest.mark.usefixtures("process_worker")
async def test_10_failed_jobs_are_chosen_and_retried(tab: FirefoxTab, hub: HubProcess, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    good, bad = await _ran(hub, "echo fine", f"test -e {mended}")
    mended.touch()
    await tab.goto(hub.queue(QUEUE))
    await tab.click('input[aria-label="Select all listed jobs"]')
    await tab.click("button", "Retry 1 failed")
    await tab.until(f"document.querySelector('{_row(bad)}')?.dataset.reason === 'Success'")
    assert await tab.evaluate(f"document.querySelector('{_row(good)}').dataset.reason") == "Success"


@pytest.mark.usefixtures("process_worker")
async def test_11_chosen_jobs_are_deleted_by_a_second_click(tab: FirefoxTab, hub: HubProcess) -> None:
    kept, gone = await _ran(hub, "echo kept", "echo gone")
    await tab.goto(hub.queue(QUEUE))
    await tab.click(f"{_row(gone)} input")
    await tab.click("button", "Delete 1 job")
    await tab.click("button", "Delete 1 job for good?")
    await tab.until(f"document.querySelector('{_row(gone)}') === null")
    assert await tab.evaluate(f"document.querySelector('{_row(kept)}') !== null")


@pytest.mark.usefixtures("process_worker")
async def test_12_a_line_is_linked_and_found_again_and_the_log_is_searched(tab: FirefoxTab, hub: HubProcess) -> None:
    (job,) = await _ran(hub, "seq 1 3000")
    await tab.goto(f"{hub.url}/j/{job}#?queue={QUEUE}&line=1500")
    await tab.until(f"{MARKED}?.dataset.seq === '1499'")
    await tab.click('.line[data-seq="1501"] a.seq')
    await tab.until("location.hash.endsWith('&line=1502')")
    await tab.until(f"{MARKED}?.dataset.seq === '1501'")
    await tab.reload()
    await tab.until(f"{MARKED}?.dataset.seq === '1501'")
    await tab.fill('input[aria-label="Search in the log"]', "", "2999")
    await tab.until("document.querySelector('[data-testid=log-found]')?.textContent === '1 line'")
    await tab.press("Enter")
    await tab.until("[...document.querySelectorAll('.line.current')].some(each => each.dataset.seq === '2998')")


@pytest.mark.usefixtures("process_worker")
async def test_13_outputs_are_shown_and_never_run(tab: FirefoxTab, hub: HubProcess) -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>top.ran = 1</script></svg>"
    html = "<h1>shown</h1><script>top.ran = 2; parent.ran = 2</script>"
    files = {"a.svg": svg, "t.csv": "a,b\n1,2\n", "p.html": html}
    async with asman.connect(hub.queue(QUEUE)) as queue:
        made = await queue.submit(command="sh -c 'cp $JOB_INPUTS/* $JOB_OUTPUTS'", inputs=files)
        await made.wait()
        job = made.id
    await tab.goto(f"{hub.url}/j/{job}#?queue={QUEUE}")
    await _ended(tab, "Success")
    await tab.until("document.querySelector('[data-testid=preview] img')?.naturalWidth === 9")
    await tab.until("document.querySelectorAll('.sheet td').length === 2")
    await tab.click("button", "Preview of p.html")
    await tab.until("document.querySelector('iframe[title=\"Preview of p.html\"]') !== null")
    assert await tab.evaluate("window.ran === undefined")
    # The browser itself says that it blocked the scripts; that is no error of the page.
    tab.errors[:] = [each for each in tab.errors if "sandbox" not in each.lower() and "policy" not in each.lower()]


@pytest.mark.usefixtures("process_worker")
async def test_14_the_back_button_and_the_charts_of_what_ran_before(tab: FirefoxTab, hub: HubProcess) -> None:
    first, _ = await _ran(hub, "echo 1", "sh -c 'exit 1'")
    await tab.goto(hub.queue(QUEUE))
    await tab.click(f"{_row(first)} a")
    await _ended(tab, "Success")
    await tab.back()
    await tab.until(f"document.querySelector('{_row(first)}') !== null")
    await tab.click("summary", "Charts")
    await tab.sees("2 jobs finished, 50 % succeeded.")
    await tab.until("document.querySelectorAll('[data-testid=charts] canvas').length === 4")


async def test_15_the_page_outlives_its_hub_and_works_below_a_path(tab: FirefoxTab, hub: HubProcess) -> None:
    async with prefix_door(urlsplit(hub.url).port or 0, "/below") as url:
        await tab.goto(f"{url}/q/{QUEUE}")
        await _connected(tab)
        async with asman.connect(f"{url}/q/{QUEUE}") as queue:
            job = await queue.submit(command="echo waits")
        await tab.until(f"document.querySelector('{_row(job.id)}')?.dataset.state === 'Queued'")
        hub.kill()
        await tab.until("document.querySelector('[data-testid=connection]').dataset.status !== 'open'")
        hub.start()
        await _connected(tab)
        await tab.click(f"{_row(job.id)} a")
        await tab.until(f"{STATE}?.state === 'Queued'")
        assert (await tab.evaluate("location.pathname")).startswith("/below/j/")
    tab.errors.clear()  # the console has each failed connection
