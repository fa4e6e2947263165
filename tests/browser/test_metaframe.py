"""The page inside another: a real `Metapage` parent of another origin, and frames that are piped into each other."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from playwright.async_api import FrameLocator, Page, expect

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.engine import Engine
from devtools.page import QUEUE, job_address, page_json
from tests.support.parent_page import parent_page

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
            "() => metapage.getState().metaframes.outputs.frame?.['job/result.json']?.stdout === 'second\\n'"
        )
        outputs = await page.evaluate("metapage.getState().metaframes.outputs.frame")
        result = outputs["job/result.json"]
        assert (result["stderr"], result["statusCode"], result["isTimedOut"]) == ("odd\n", 0, False)
        assert result["url"].startswith(f"{hub.url}/j/")
        kept = outputs["out.txt"]
        assert kept.startswith("data:text/plain;file=true;name=out.txt")
        assert base64.b64decode(kept.partition("base64,")[2]) == b"kept\n"
        await expect(inside(page, "frame").get_by_role("heading", level=1)).to_contain_text("echo second")

        # Outputs are keyed by the job: another job's files do not stay.
        await page.evaluate("metapage.setInputs({ frame: { job: { command: 'echo third' } } })")
        await page.wait_for_function(
            "() => metapage.getState().metaframes.outputs.frame?.['job/result.json']?.stdout === 'third\\n'"
        )
        assert "out.txt" not in await page.evaluate("metapage.getState().metaframes.outputs.frame")
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
