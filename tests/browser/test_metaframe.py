"""The page inside another: a real `Metapage` parent of another origin, and frames that are piped into each other."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import FrameLocator, Page, expect

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.engine import Engine
from devtools.page import QUEUE, job_address, page_json
from tests.support.parent_page import parent_page, served

BYTES = bytes(range(256)) * 64
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
#: Passes its inputs on, and adds a picture of its own.
MAKE = f"""set -e
mkdir -p /outputs/deep
for name in number flag table word bytes file.bin; do cp /inputs/$name /outputs/$name; done
cp /inputs/file.bin /outputs/deep/again.bin
echo {base64.b64encode(PNG).decode()} | base64 -d > /outputs/picture.png
"""
USE = (
    "cd /inputs; for name in number flag table word bytes file.bin deep/again.bin picture.png; do sha256sum $name; done"
)


def inside(page: Page, frame: str) -> FrameLocator:
    return page.frame_locator(f"iframe[name='{frame}']")


async def finished(page: Page, frame: str) -> None:
    detail = inside(page, frame).get_by_test_id("job-detail")
    await expect(detail).to_have_attribute("data-reason", "Success", timeout=60_000)


async def test_values_files_and_images_pass_through_a_container_intact_and_edits_reach_the_parent(
    browser: TestBrowser,
    hub: HubProcess,
    processes: AsmanProcesses,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    assert engine.host
    own = ["--data-dir", str(tmp_path / "worker"), "--local-images", "asman-test/*"]
    processes.worker(hub.queue(QUEUE), "--name", "bench", *own)
    make = job_address(
        hub.url, {"image": busybox_image, "command": "sh /inputs/make.sh"}, {"make.sh": MAKE}, autostart="true"
    )
    use = job_address(hub.url, {"image": busybox_image, "command": f"sh -c '{USE}'"}, autostart="true")
    piped = {"use": {"url": use, "inputs": [{"metaframe": "make", "source": "**"}]}, "make": {"url": make}}
    with parent_page(piped) as address:
        page = await browser.open(address)
        await page.wait_for_function("window.ready === true")
        await page.evaluate(
            """async encoded => {
                const bytes = Uint8Array.from(atob(encoded), c => c.charCodeAt(0));
                const file = `data:application/octet-stream;file=true;name=file.bin;lastModified=0;base64,${encoded}`;
                await metapage.setInputs({ make: {
                    number: 42.5, flag: true, table: { rows: [1, 2], name: 'ä' }, word: 'größe\\n', bytes,
                    '/file.bin': file, job: { image: 'never' },
                } });
            }""",
            base64.b64encode(BYTES).decode(),
        )
        await finished(page, "make")
        await expect(inside(page, "make").get_by_test_id("output")).to_have_count(8)
        await finished(page, "use")
        lines = inside(page, "use").get_by_test_id("log-text")
        wanted = {
            "number": b"42.5",
            "flag": b"true",
            "table": '{"name":"ä","rows":[1,2]}'.encode(),
            "word": "größe\n".encode(),
            "bytes": BYTES,
            "file.bin": BYTES,
            "deep/again.bin": BYTES,
            "picture.png": PNG,
        }
        await expect(lines).to_have_text(
            [f"{hashlib.sha256(body).hexdigest()}  {name}" for name, body in wanted.items()]
        )

        # An edit in a frame changes its address, which the parent keeps.
        await inside(page, "use").get_by_label("Command", exact=True).fill("echo edited")
        edited = page_json({"image": busybox_image, "command": "echo edited"})
        await page.wait_for_function(
            "job => decodeURIComponent(metapage.getDefinition().metaframes.use.url).includes(job)", arg=edited
        )
        await finished(page, "use")
        await expect(lines).to_have_text(["edited"])
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_piped_job_replaces_the_definition_and_its_result_is_piped_out(
    browser: TestBrowser, hub: HubProcess
) -> None:
    address_of_frame = job_address(
        hub.url, {"command": "echo first"}, autostart="true", allowsetjob="true", resolverefs="true"
    )
    with parent_page({"frame": {"url": address_of_frame}}) as address:
        page = await browser.open(address)
        await page.wait_for_function("window.ready === true")
        await finished(page, "frame")
        job = {"command": "sh -c 'echo second; echo odd >&2; echo kept > $JOB_OUTPUTS/out.txt'"}
        await page.evaluate("job => metapage.setInputs({ frame: { job } })", job)
        await page.wait_for_function(
            "() => metapage.getState().metaframes.outputs.frame?.['job/result.json']?.stdout?.[0]?.[0] === 'second\\n'"
        )
        outputs = await page.evaluate("metapage.getState().metaframes.outputs.frame")
        result = outputs["job/result.json"]
        assert (result["statusCode"], result["isTimedOut"]) == (0, False)
        ((out, out_time),), ((odd, odd_time, is_stderr),) = result["stdout"], result["stderr"]
        assert (out, odd, is_stderr) == ("second\n", "odd\n", True)
        assert abs(out_time - odd_time) < 600_000, "both are times in milliseconds"
        assert result["url"].startswith(f"{hub.url}/j/")
        kept = outputs["out.txt"]
        assert kept.startswith("data:text/plain;file=true;name=out.txt")
        assert base64.b64decode(kept.partition("base64,")[2]) == b"kept\n"
        await expect(inside(page, "frame").get_by_role("heading", level=1)).to_contain_text("echo second")

        # Outputs are keyed by the job: another job's files do not stay.
        await page.evaluate("metapage.setInputs({ frame: { job: { command: 'echo third' } } })")
        await page.wait_for_function(
            "() => metapage.getState().metaframes.outputs.frame?.['job/result.json']?.stdout?.[0]?.[0] === 'third\\n'"
        )
        assert "out.txt" not in await page.evaluate("metapage.getState().metaframes.outputs.frame")
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_the_texts_of_a_piped_result_are_what_the_job_wrote_byte_for_byte(
    browser: TestBrowser, hub: HubProcess
) -> None:
    out = "10%\r20%\r\x1b[31mred\x1b[0m\r\n\nä, no newline at end"
    command = f"echo {base64.b64encode(out.encode()).decode()} | base64 -d; printf err >&2"
    frame = job_address(hub.url, {"command": ["sh", "-c", command]}, autostart="true", allowsetjob="true")
    with parent_page({"frame": {"url": frame}}) as address:
        page = await browser.open(address)
        await page.wait_for_function("() => window.metapage?.getState().metaframes.outputs.frame?.['job/result.json']")
        result = await page.evaluate("metapage.getState().metaframes.outputs.frame['job/result.json']")
        assert "".join(text for text, _ in result["stdout"]) == out
        assert [[text, *flag] for text, _, *flag in result["stderr"]] == [["err", True]]
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
@pytest.mark.parametrize("before", [(), ("frame",)], ids=["parent first", "frame first"])
async def test_a_frame_waits_for_its_first_values_and_runs_once(
    browser: TestBrowser, hub: HubProcess, before: tuple[str, ...]
) -> None:
    frame = job_address(hub.url, {"command": "sh -c 'cat $JOB_INPUTS/word'"}, autostart="true")
    with parent_page({"frame": {"url": frame}}, before) as address:
        page = await browser.open(address)
        waits = inside(page, "frame").get_by_text("starts by itself with the first values")
        if before:
            # The first request of the frame was heard by nobody; a repeated one is.
            await expect(waits).to_be_visible()
            await page.evaluate("begin()")
        await page.wait_for_function("window.ready === true && metapage.getMetaframe('frame')._loaded")
        await expect(waits).to_be_visible()
        await page.evaluate("metapage.setInputs({ frame: { word: 'late' } })")
        await finished(page, "frame")
        await expect(inside(page, "frame").get_by_test_id("log-text")).to_have_text(["late"])
    async with aiohttp.ClientSession() as http, http.get(f"{hub.queue(QUEUE)}/jobs") as answer:
        assert len((await answer.json())["jobs"]) == 1
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_frame_whose_job_needs_no_values_starts_without_them(browser: TestBrowser, hub: HubProcess) -> None:
    with parent_page({"frame": {"url": job_address(hub.url, {"command": "echo alone"}, autostart="true")}}) as address:
        page = await browser.open(address)
        await finished(page, "frame")
        await expect(inside(page, "frame").get_by_test_id("log-text")).to_have_text(["alone"])
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_frame_of_a_page_that_pipes_nothing_starts_whatever_its_job_reads(
    browser: TestBrowser, hub: HubProcess
) -> None:
    frame = job_address(
        hub.url, {"command": "sh -c 'cd $JOB_INPUTS; sh a.sh'"}, {"a.sh": "echo alone"}, autostart="true"
    )
    with served({"/": ("text/html", f'<iframe src="{frame}" width="600" height="400"></iframe>'.encode())}) as address:
        page = await browser.open(address)
        shown = page.frame_locator("iframe")
        await expect(shown.get_by_test_id("job-detail")).to_have_attribute("data-reason", "Success", timeout=60_000)
        await expect(shown.get_by_test_id("log-text")).to_have_text(["alone"])


@pytest.mark.usefixtures("process_worker")
async def test_an_output_is_piped_on_as_an_address_that_a_page_of_another_origin_can_fetch(
    browser: TestBrowser, hub: HubProcess
) -> None:
    command = "sh -c 'head -c 100000 /dev/zero > $JOB_OUTPUTS/big.bin'"
    with parent_page({"frame": {"url": job_address(hub.url, {"command": command}, autostart="true")}}) as address:
        page = await browser.open(address)
        await page.wait_for_function("window.ready === true")
        await finished(page, "frame")
        await page.wait_for_function("() => metapage.getState().metaframes.outputs.frame?.['big.bin'] !== undefined")
        piped = await page.evaluate("metapage.getState().metaframes.outputs.frame['big.bin']")
        assert piped == {"type": "url", "value": f"{hub.url}/f/{hashlib.sha256(bytes(100_000)).hexdigest()}"}
        size = await page.evaluate(
            "url => fetch(url).then(answer => answer.blob()).then(blob => blob.size)", piped["value"]
        )
        assert size == 100_000
    assert browser.errors == []


@pytest.mark.usefixtures("process_worker")
async def test_a_small_frame_shows_the_state_and_the_one_thing_to_do(browser: TestBrowser, hub: HubProcess) -> None:
    with parent_page({"frame": {"url": job_address(hub.url, {"command": "echo small"})}}) as address:
        page = await browser.open(address)
        await page.add_style_tag(content="iframe { width: 320px !important; height: 150px !important; border: 0 }")
        frame = inside(page, "frame")
        await frame.get_by_test_id("main-action").click()
        await finished(page, "frame")
        await expect(frame.locator(".state", has_text="Success")).to_be_in_viewport()
        await expect(frame.get_by_test_id("main-action")).to_be_in_viewport()
        await expect(frame.get_by_test_id("settings")).to_be_hidden()
    assert browser.errors == []


async def test_the_page_works_where_it_may_not_store_anything(browser: TestBrowser, hub: HubProcess) -> None:
    context = await browser.browser.new_context()
    await context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(job_address(hub.url, {"command": "echo"}))
    await expect(page.get_by_test_id("main-action")).to_be_enabled()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert problems == []


async def test_a_page_around_it_may_ask_what_it_is(browser: TestBrowser, hub: HubProcess) -> None:
    with parent_page({}) as address:
        page = await browser.open(address)
        told = await page.evaluate("url => fetch(url).then(answer => answer.json())", f"{hub.url}/metaframe.json")
    assert told["version"] == "2"
    assert set(told) >= {"inputs", "outputs", "metadata", "allow", "hashParams"}
    assert told["hashParams"]["job"]["type"] == "json"
    answer = await page.request.get(f"{hub.url}/")
    assert "x-frame-options" not in answer.headers
    assert "frame-ancestors" not in answer.headers["content-security-policy"]
