"""The example of a metapage: the published packages as the parent of two frames, the bytes that come out at the end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, expect

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, ROOT
from tests.support.node import PATH

FOLDER = ROOT / "examples/metapage"
VALUES = '42.5größe\n{"name":"ä","rows":[1,2]}true'.encode()
DOUBLES = b"".join(struct.pack("<d", math.sqrt(each)) for each in range(37_500))
UPLOAD = bytes(((each * 7919) >> 3) & 255 for each in range(300_000))


@asynccontextmanager
async def example(*arguments: str) -> AsyncIterator[str]:
    """Serves the example as its README says; gives its address."""
    environment = {**os.environ, "PATH": PATH}
    process = await asyncio.create_subprocess_exec(
        "node", str(FOLDER / "serve.mjs"), *arguments, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        yield (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def shown(page: Page) -> dict[str, tuple[str, str]]:
    """Returns the size and the sha256 of each file in the table."""
    rows = await page.locator("#outputs tr").all()
    cells = [await row.locator("td").all_inner_texts() for row in rows]
    return {name: (size, sha256) for name, size, sha256, *_ in cells}


def told(body: bytes) -> tuple[str, str]:
    return str(len(body)), hashlib.sha256(body).hexdigest()


@pytest.fixture(params=["process", "docker"])
def image(request: pytest.FixtureRequest, processes: AsmanProcesses, hub: HubProcess, tmp_path: Path) -> str:
    """The image of the jobs, none without containers; a worker runs them."""
    if request.param == "process":
        request.getfixturevalue("process_worker")
        return ""
    assert request.getfixturevalue("engine").host
    own = ["--data-dir", str(tmp_path / "worker"), "--local-images", "asman-test/*"]
    processes.worker(hub.queue(QUEUE), "--name", "bench", *own)
    return str(request.getfixturevalue("busybox_image"))


async def test_values_files_and_images_pass_through_two_frames_of_the_published_packages(
    browser: TestBrowser, hub: HubProcess, image: str
) -> None:
    async with example(hub.url, QUEUE, image) as address:
        page = await browser.open(address, width=1400, height=900)
        for frame in ("first", "second"):
            detail = page.frame_locator(f"iframe[name='{frame}']").get_by_test_id("job-detail")
            await expect(detail).to_have_attribute("data-reason", "Success", timeout=60_000)
        await expect(page.locator("#outputs tr")).to_have_count(4)
        await expect(page.locator("#outputs tr img")).to_have_js_property("naturalWidth", 160)
        drawn = base64.b64decode((await page.evaluate("drawn")).partition(",")[2])
        assert await shown(page) == {
            "values.txt": told(VALUES),
            "numbers.bin": told(DOUBLES),
            "upload.bin": told(UPLOAD),
            "picture.png": told(drawn),
        }
        # Each frame ran once, with its inputs; none ran before they were there.
        async with aiohttp.ClientSession() as http, http.get(f"{hub.queue(QUEUE)}/jobs") as answer:
            assert len((await answer.json())["jobs"]) == 2
        # A new value is a new run of both frames, and its files take the place of the old ones.
        await page.evaluate("metapage.setInputs({ first: { number: 7 } })")
        changed = told(VALUES.replace(b"42.5", b"7"))
        await expect(page.locator('[data-name="values.txt"]')).to_contain_text(changed[1], timeout=60_000)
        if os.environ.get("SCREENSHOTS"):
            await page.screenshot(path=ROOT / "out/metapage-example.png", full_page=True)
    assert browser.errors == []
