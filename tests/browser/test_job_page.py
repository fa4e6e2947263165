"""The page of one job in a real browser, on a real hub with a real worker."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import re
import wave
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

import asman
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.engine import Engine
from devtools.page import (
    QUEUE,
    connected,
    detail,
    job_address,
    lines_come,
    log_lines,
    looping_command,
    main_action,
    page_json,
    said,
    said_at_last,
)
from tests.support.ready_worker import ReadyWorker, ready_worker

MIB = 1024 * 1024
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="60"><rect width="120" height="60" fill="teal"/></svg>'
)
DRAW = f"""echo drawing
echo careful >&2
echo '{PICTURE}' > $JOB_OUTPUTS/picture.svg
printf 'name,value\\nfirst,1\\n' > $JOB_OUTPUTS/table.csv
echo '{{"deep":{{"list":[1,2]}}}}' > $JOB_OUTPUTS/data.json
printf '# Heading\\n\\n<script>alert(1)</script>text\\n' > $JOB_OUTPUTS/read.md
"""


async def test_a_job_in_an_address_runs_in_a_container_and_shows_its_log_and_image(
    browser: TestBrowser,
    hub: HubProcess,
    processes: AsmanProcesses,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    assert engine.host
    job = {"image": busybox_image, "command": "sh /inputs/draw.sh"}
    page = await browser.open(job_address(hub.url, job, {"draw.sh": DRAW}))
    await expect(detail(page)).to_have_attribute("data-state", "none")
    await expect(page.get_by_text("no worker is connected")).to_be_visible()
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-state", "Queued")
    await expect(page.get_by_test_id("verdict")).to_contain_text("worker")

    own = ["--data-dir", str(tmp_path / "worker"), "--local-images", "asman-test/*"]
    processes.worker(hub.queue(QUEUE), "--name", "bench", *own)
    await expect(detail(page)).to_have_attribute("data-reason", "Success", timeout=60_000)
    await expect(page.get_by_test_id("verdict")).to_contain_text("exit code 0")
    lines = await said_at_last(page, "careful", "drawing", any_order=True)
    assert [seq for seq, _, _ in lines] == list(range(len(lines)))
    assert ("err", "careful") in [(stream, text) for _, stream, text in lines]
    image = page.get_by_test_id("output").filter(has_text="picture.svg").locator("img")
    await expect(image).to_be_visible()
    await page.wait_for_function("() => document.querySelector('.preview.image img').naturalWidth === 120")
    await expect(page.get_by_test_id("timeline")).to_contain_text("running")
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_outputs_of_every_kind_have_a_preview_and_nothing_in_them_runs(
    browser: TestBrowser, hub: HubProcess
) -> None:
    page = await browser.open(job_address(hub.url, {"command": "sh $JOB_INPUTS/draw.sh"}, {"draw.sh": DRAW}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    outputs = page.get_by_test_id("output")
    await expect(outputs).to_have_count(4)
    for name in ("read.md", "table.csv"):
        # By the keyboard: what is loaded above moves the buttons, also between a mouse's down and up.
        await page.get_by_role("button", name=f"Preview of {name}").press("Enter")
    await expect(outputs.filter(has_text="table.csv").get_by_role("cell", name="first")).to_be_visible()
    await expect(outputs.filter(has_text="data.json").locator(".json-tree")).to_contain_text("deep")
    frame = page.frame_locator("iframe[title='Preview of read.md']")
    await expect(frame.get_by_role("heading", name="Heading")).to_be_visible(timeout=60_000)

    async with page.expect_download() as download:
        await page.evaluate("delete window.showSaveFilePicker")
        await page.get_by_role("button", name="Download all as zip").click()
    archive = await (await download.value).path()
    listing = await asyncio.create_subprocess_exec(
        "python3", "-m", "zipfile", "-l", str(archive), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await listing.communicate()
    assert all(name in told.decode() for name in ("picture.svg", "table.csv", "data.json", "read.md"))
    # The browser says that it kept the script in the Markdown from running; nothing else went wrong.
    assert all("sandbox" in error for error in browser.errors)


RECORD = """async () => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
  const pen = canvas.getContext('2d');
  const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: 'video/webm' });
  const pieces = [];
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  const ended = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  for (let n = 0; n < 20; n++) {
    pen.fillRect(n, n, 9, 9);
    await new Promise(requestAnimationFrame);
  }
  recorder.stop();
  await ended;
  const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}"""
"""Makes a short video in the browser, which is the only one here that can."""
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 90]>>endobj
trailer<</Root 1 0 R>>
"""


def tone() -> bytes:
    """A tenth of a second of a square wave, as WAV."""
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes((b"\x60" * 10 + b"\xa0" * 10) * 40)
    return written.getvalue()


@pytest.mark.usefixtures("process_worker")
async def test_sound_and_video_are_played_from_the_hub_and_a_pdf_is_only_downloaded(
    browser: TestBrowser, hub: HubProcess
) -> None:
    page = await browser.open(hub.url)
    files = {"tone.wav": tone(), "film.webm": base64.b64decode(await page.evaluate(RECORD)), "page.pdf": PDF}
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command="sh -c 'cp $JOB_INPUTS/* $JOB_OUTPUTS'", inputs=files)
        await job.result()
    await page.goto(f"{hub.url}/j/{job.id}#?queue={QUEUE}")
    await expect(page.get_by_test_id("output")).to_have_count(3)
    for name in ("film.webm", "tone.wav"):
        closed = page.get_by_role("button", name=f"Preview of {name}")
        if await closed.get_attribute("aria-expanded") == "false":
            await closed.press("Enter")
    for kind in ("audio", "video"):
        player = page.locator(f"{kind}[controls]")
        await expect(player).to_be_visible()
        # It has read what the hub sent: 1 is HAVE_METADATA, and the error would say what it could not read.
        await player.evaluate(
            "p => p.readyState >= 1 ||"
            " new Promise((yes, no) => { p.onloadedmetadata = yes; p.onerror = () => no(p.error) })"
        )
    assert await page.locator("video").evaluate("p => [p.videoWidth, p.videoHeight]") == [64, 48]
    assert await page.locator("audio").evaluate("p => p.duration") == pytest.approx(0.1)
    await expect(page.get_by_role("button", name="Preview of page.pdf")).to_have_count(0)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download page.pdf").click()
    assert Path(await (await download.value).path()).read_bytes() == PDF
    assert await page.locator("iframe").count() == 0
    assert browser.errors == []


async def test_how_far_a_pull_is_can_be_seen(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"image": "alpine", "command": "x"}))
    async with ready_worker(hub.queue(QUEUE)) as worker:
        worker.go.clear()
        await main_action(page).click()
        attempt = {"type": "phase", "phase": "pulling", "attempt": 1, "job": await worker.started.get()}
        timeline = page.get_by_test_id("timeline")
        await expect(timeline).to_contain_text("running")
        # It is told to who follows the job by then, so it is told as workers tell it: again and again.
        telling = asyncio.create_task(
            _repeat(worker, {**attempt, "done": 10 * MIB, "total": 40 * MIB, "unit": "bytes"})
        )
        try:
            await expect(timeline).to_contain_text("10 MiB of 40 MiB")
            await expect(timeline.get_by_role("progressbar")).to_have_count(1)
        finally:
            telling.cancel()
        worker.go.set()
        await expect(detail(page)).to_have_attribute("data-reason", "Success")
        await expect(timeline.get_by_role("progressbar")).to_have_count(0)
    assert browser.errors == []


async def _repeat(worker: ReadyWorker, message: dict[str, object]) -> None:
    while True:
        await worker.say(message)
        await asyncio.sleep(0.1)


@pytest.mark.usefixtures("process_worker")
async def test_edit_and_run_and_undo(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"command": "echo one"}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    first = await detail(page).get_attribute("data-job")
    await said_at_last(page, "one")

    await page.get_by_label("Command", exact=True).fill("echo two")
    await expect(detail(page)).not_to_have_attribute("data-job", first or "")
    await expect(detail(page)).to_have_attribute("data-state", "none")
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await said_at_last(page, "two")
    second = page.url

    await page.get_by_role("button", name="Undo").click()
    await expect(detail(page)).to_have_attribute("data-job", first or "")
    await expect(page.get_by_test_id("log-text").first).to_have_text("one")
    await page.get_by_role("button", name="Redo").click()
    assert page.url == second
    await page.reload()
    await expect(page.get_by_test_id("log-text").first).to_have_text("two")
    await page.get_by_role("button", name="Run again").click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await page.get_by_role("button", name="Delete result").click()
    await expect(detail(page)).to_have_attribute("data-state", "none")
    assert browser.errors == []


async def test_the_form_and_the_json_are_one_definition_checked_as_it_is_written(
    browser: TestBrowser, hub: HubProcess
) -> None:
    page = await browser.open(job_address(hub.url, {"command": "echo"}))
    await page.get_by_label("Memory", exact=True).fill("2")
    await expect(page.get_by_test_id("settings")).to_contain_text("'2' is not a size")
    await expect(main_action(page)).to_be_disabled()
    await page.get_by_label("Memory", exact=True).fill("2g")
    await expect(main_action(page)).to_be_enabled()
    await page.get_by_label("Name of variable 1").fill("COLOUR")
    await page.get_by_label("Value of COLOUR").fill("blue")

    await page.get_by_role("button", name="JSON", exact=True).click()
    editor = page.get_by_role("textbox", name="The definition as JSON")
    await expect(editor).to_contain_text('"COLOUR": "blue"')
    await expect(page.locator(".cm-editor")).to_be_visible()
    await editor.fill('{"command": "echo changed", "image": "alpine:3"')
    await expect(page.get_by_test_id("settings")).to_contain_text("Not applied")
    await editor.fill('{"command": "echo changed", "image": "alpine:3"}')
    await page.get_by_role("button", name="Form", exact=True).click()
    await expect(page.get_by_label("Image", exact=True)).to_have_value("alpine:3")
    await expect(page.get_by_label("Command", exact=True)).to_have_value("echo changed")
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_links_of_all_generations_open_as_the_same_job(browser: TestBrowser, hub: HubProcess) -> None:
    job = {"command": 'echo "grüße ☀ 50%"'}
    text = json.dumps(job, ensure_ascii=False)
    newest = page_json(job)
    links = [
        newest,
        quote(newest, safe=""),
        base64.b64encode(text.encode()).decode(),
        quote(base64.b64encode(text.encode()).decode(), safe=""),
    ]
    ids = set()
    for link in links:
        page = await browser.open(f"{hub.url}/#?job={link}&queue={QUEUE}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(job["command"])
        await connected(page)
        ids.add(await detail(page).get_attribute("data-job"))
        await page.context.close()
    canonical = json.dumps(job, ensure_ascii=False, separators=(",", ":")).encode()
    assert ids == {hashlib.sha256(canonical).hexdigest()}
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_inputs_are_written_dropped_and_sent(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * 4000)
    sha256 = hashlib.sha256(large.read_bytes()).hexdigest()
    job = {"command": "sh -c 'cat $JOB_INPUTS/note.txt; sha256sum < $JOB_INPUTS/large.bin'"}
    page = await browser.open(job_address(hub.url, job))
    await connected(page)
    await page.get_by_role("button", name="New text file").click()
    await page.get_by_label("Name of the new text file").fill("note.txt")
    await page.keyboard.press("Enter")
    await page.get_by_role("textbox", name="Text of note.txt").fill("written here\n")
    await page.get_by_label("Files to add").set_input_files(large)
    await expect(page.get_by_test_id("input").filter(has_text="large.bin")).to_contain_text(f"file {sha256[:8]}")
    await expect(page.get_by_test_id("upload")).to_have_count(0)
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await said_at_last(page, "written here", f"{sha256}  -")

    await page.get_by_role("button", name="Remove note.txt").click()
    await expect(page.get_by_test_id("input")).to_have_count(1)
    dropped = await page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['short'], 'drop.txt')); return data; }"
    )
    await page.get_by_test_id("inputs").dispatch_event("drop", {"dataTransfer": dropped})
    await expect(page.get_by_test_id("input").filter(has_text="drop.txt")).to_contain_text("text")
    await page.evaluate(
        """() => { const data = new DataTransfer(); data.items.add(new File(['pasted'], 'paste.txt'));
            document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })); }"""
    )
    await expect(page.get_by_test_id("input").filter(has_text="paste.txt")).to_be_visible()
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_long_text_goes_to_the_hub_by_itself_and_can_still_be_edited(
    browser: TestBrowser, hub: HubProcess
) -> None:
    long = "x" * 20_000
    page = await browser.open(job_address(hub.url, {"command": "sh -c 'wc -c < $JOB_INPUTS/t'"}, {"t": "short"}))
    await connected(page)
    await page.get_by_role("button", name="Edit t").click()
    editor = page.get_by_role("textbox", name="Text of t")
    await expect(page.locator(".cm-editor")).to_be_visible()
    await editor.fill(long)
    await expect(page.get_by_test_id("input")).to_contain_text("file ")
    assert len(page.url) < 2000
    await page.reload()
    await page.get_by_role("button", name="Edit t").click()
    await expect(page.get_by_role("textbox", name="Text of t")).to_contain_text("xxxxx")
    await main_action(page).click()
    await expect(page.get_by_test_id("log-text").first).to_contain_text("20000")
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_file_that_is_no_text_or_is_large_is_never_edited_and_stays_as_it_is(
    browser: TestBrowser, hub: HubProcess, tmp_path: Path
) -> None:
    files = {"noise.bin": os.urandom(20_000), "large.txt": b"x" * 3_000_000, "nul.txt": b"a\0b" * 4000}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    job = {"command": "sh -c 'cd $JOB_INPUTS; sha256sum *'"}
    page = await browser.open(job_address(hub.url, job))
    await connected(page)
    await page.get_by_label("Files to add").set_input_files([tmp_path / name for name in files])
    await expect(page.get_by_test_id("input")).to_have_count(len(files))
    await expect(page.get_by_test_id("input").filter(has_text="large.txt")).to_contain_text("2.9 MiB")
    for name, says in (
        ("noise.bin", "not text in UTF-8"),
        ("nul.txt", "not text in UTF-8"),
        ("large.txt", "has more than the 256 KiB that can be edited here"),
    ):
        await page.get_by_role("button", name=f"Edit {name}").click()
        row = page.get_by_test_id("input").filter(has_text=name)
        await expect(row.locator(".field-problem")).to_contain_text(says)
        await expect(page.get_by_role("textbox", name=f"Text of {name}")).to_have_count(0)
        await page.get_by_role("button", name=f"Close {name}").click()
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await said_at_last(page, *(f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(files.items())))
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_stop(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    page = await browser.open(job_address(hub.url, {"command": looping_command(tmp_path / "never")}))
    await main_action(page).click()
    await lines_come(page, 5)
    await page.get_by_role("button", name="Cancel job").click()
    await expect(detail(page)).to_have_attribute("data-reason", "Cancelled")
    await expect(page.get_by_role("button", name="Run again")).to_be_visible()
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_reload_in_the_middle_continues_the_log(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    page = await browser.open(job_address(hub.url, {"command": looping_command(stop)}))
    await main_action(page).click()
    await lines_come(page, 20)
    await page.reload()
    await lines_come(page, 60)
    stop.touch()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await _counted_to_its_end(page)
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_the_hub_killed_and_back_continues_the_log(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command=looping_command(stop))
    page = await browser.open(f"{hub.url}/j/{job.id}#?queue={QUEUE}")
    await lines_come(page, 20)
    await asyncio.to_thread(hub.kill)
    await expect(page.get_by_test_id("connection")).to_have_text("reconnecting")
    await asyncio.to_thread(hub.start)
    await connected(page)
    stop.touch()
    await expect(detail(page)).to_have_attribute("data-reason", "Success", timeout=60_000)
    await _counted_to_its_end(page)


async def _counted_to_its_end(page: Page) -> None:
    await expect(page.get_by_test_id("log-text").last).to_contain_text("end ")
    lines = await log_lines(page)
    assert [seq for seq, _, _ in lines] == list(range(len(lines)))
    *counted, last = said(lines)
    assert counted == [f"line {n}" for n in range(len(counted))]
    assert last == f"end {len(counted)}"
    await expect(page.get_by_test_id("log-gap")).to_have_count(0)


@pytest.mark.usefixtures("process_worker")
async def test_what_is_wanted_while_the_hub_is_away_is_kept_and_done(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"command": "echo kept"}))
    await connected(page)
    await expect(main_action(page)).to_be_visible()  # a part of the page that the hub has to send first
    await asyncio.to_thread(hub.kill)
    await expect(page.get_by_test_id("connection")).to_have_text("reconnecting")
    await main_action(page).click()
    await expect(page.get_by_text("“Run” will be sent")).to_be_visible()
    await asyncio.to_thread(hub.start)
    await expect(detail(page)).to_have_attribute("data-reason", "Success", timeout=60_000)
    await said_at_last(page, "kept")


async def test_bad_parameters_say_which_and_why_with_a_way_back(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(f"{hub.url}/#?job=%25%25&inputs=e30%3D&queue={QUEUE}")
    notice = page.get_by_role("alert")
    await expect(notice).to_contain_text(re.compile("job.*can't be used.*not base64"))
    await notice.get_by_role("button", name="Continue without it").click()
    await expect(page.get_by_text("Enter an image, a command, or both")).to_be_visible()

    page = await browser.open(f"{hub.url}/#?job=e30%3D&queue=not%2Fa%2Fqueue")
    await expect(page.get_by_role("alert")).to_contain_text("is not a queue name")
    await page.get_by_label("Queue name or URL").fill(QUEUE)
    await page.get_by_role("button", name="Open the job").click()
    await connected(page)

    nothing = "0" * 64
    page = await browser.open(f"{hub.url}/j/{nothing}#?queue={QUEUE}")
    await expect(page.get_by_text("This queue has no such job")).to_be_visible()
    await expect(page.get_by_text("No such job", exact=True)).to_be_visible()
    for other in ("Not run yet", "can run this job", "Settings"):
        await expect(page.get_by_text(other)).to_have_count(0)
    page = await browser.open(f"{hub.url}/j/{nothing}")
    await page.get_by_label("Queue name or URL").fill(QUEUE)
    await page.get_by_role("button", name="Show the job").click()
    await connected(page)
    assert browser.errors == []


async def test_the_job_is_shared_as_commands_that_work(
    browser: TestBrowser, hub: HubProcess, process_worker: None
) -> None:
    del process_worker
    page = await browser.open(job_address(hub.url, {"command": "echo 'it is shared'"}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("This result")
    job = await detail(page).get_attribute("data-job")
    curl = dialog.locator(".way", has_text="curl").locator("code")
    run = await asyncio.create_subprocess_shell(
        await curl.inner_text(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    told, _ = await run.communicate()
    assert json.loads(told)["job"]["id"] == job
    address = await dialog.locator(".way").first.locator("code").inner_text()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    other = await browser.open(address)
    await expect(detail(other)).to_have_attribute("data-job", job or "")
    assert browser.errors == []
