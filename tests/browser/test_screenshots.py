"""Pictures of each state, light and dark, for ``docs/page.md``: remade by each run, kept with ``SCREENSHOTS=1``."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, expect

import asman
from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import (
    QUEUE,
    ROOT,
    connected,
    detail,
    job_address,
    lines_come,
    looping_command,
    main_action,
    row,
)

DOCS = ROOT / "docs" / "screenshots"
WIDE = (1280, 800)
PHONE = (360, 740)
MOST_BYTES = 1_500_000

PLOT = """import math
points = [(n, 60 - 45 * math.sin(n / 14) * math.exp(-n / 160)) for n in range(0, 320)]
line = " ".join(f"{x},{y:.1f}" for x, y in points)
print("\\033[1mfitting\\033[0m 320 points")
for step in range(1, 6):
    print(f"step {step}  loss \\033[32m{1 / step:.3f}\\033[0m")
"""
RUN = """python3 $JOB_INPUTS/fit.py
echo 'a slow step, see https://example.org/why' >&2
cat > $JOB_OUTPUTS/curve.svg <<X
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 120" width="480">
<rect width="320" height="120" fill="#fbfcfd"/>
<path d="M0 60 Q20 -40 40 60 T80 60 T120 60 T160 60 T200 60 T240 60 T280 60 T320 60" fill="none" stroke="#1f5fbf"
stroke-width="2"/></svg>
X
printf 'step,loss\\n1,1.0\\n2,0.5\\n3,0.333\\n' > $JOB_OUTPUTS/loss.csv
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where pictures go: the docs when they are wanted there, else a folder that is thrown away."""
    made = DOCS if os.environ.get("SCREENSHOTS") == "1" else tmp_path / "screenshots"
    made.mkdir(parents=True, exist_ok=True)
    yield made
    total = sum(path.stat().st_size for path in made.glob("*.webp"))
    assert total < MOST_BYTES, f"the pictures have {total} bytes"


async def _picture(page: Page, to: Path) -> None:
    # The format that Playwright itself does not write; a third of a PNG.
    session = await page.context.new_cdp_session(page)
    made = await session.send("Page.captureScreenshot", {"format": "webp", "quality": 70})
    await session.detach()
    to.write_bytes(base64.b64decode(made["data"]))
    assert to.stat().st_size > 2000, "an empty page"


async def take(page: Page, folder: Path, name: str) -> None:
    """One picture in each scheme; the page must not be empty."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await _picture(page, folder / f"{name}-{scheme}.webp")
    await page.emulate_media(color_scheme="light")


async def _picture_of_a_link(browser: TestBrowser, link: str, folder: Path) -> None:
    """Pictures of the page that whoever has a job's link sees."""
    page = await browser.open(link, width=WIDE[0], height=WIDE[1])
    await expect(page.get_by_test_id("linked-job")).to_have_attribute("data-reason", "Success")
    await expect(page.locator(".preview img")).to_be_visible()
    await lines_come(page, 7)
    await take(page, folder, "linked")


@pytest.mark.usefixtures("process_worker")
async def test_pictures_of_each_state(browser: TestBrowser, hub: HubProcess, folder: Path, tmp_path: Path) -> None:
    page = await browser.open(hub.url, width=WIDE[0], height=WIDE[1])
    await expect(page.locator(".examples a")).to_have_count(3)
    await take(page, folder, "start")

    files = {"run.sh": RUN, "fit.py": PLOT}
    job = {"command": "sh $JOB_INPUTS/run.sh", "env": {"RATE": "0.1"}, "requirements": {"cpus": 1, "memory": "512MiB"}}
    await page.goto(job_address(hub.url, job, files))
    await expect(page.get_by_text("1 worker can run this job")).to_be_visible()
    await take(page, folder, "job-new")

    await page.get_by_label("Memory", exact=True).fill("much")
    await expect(page.get_by_test_id("settings")).to_contain_text("is not a size")
    await take(page, folder, "job-problem")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("1 worker can run this job")).to_be_visible()

    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await expect(page.locator(".preview img")).to_be_visible()
    await expect(page.get_by_role("cell", name="0.333")).to_be_visible()
    await take(page, folder, "job-done")
    await page.get_by_role("button", name="Edit fit.py").click()
    await expect(page.locator(".cm-editor")).to_be_visible()
    await take(page, folder, "job-edit")
    await page.get_by_role("button", name="Share").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await take(page, folder, "share")
    way = page.get_by_role("dialog").locator(".way", has=page.get_by_text("This result to read", exact=True))
    await _picture_of_a_link(browser, await way.locator("code").inner_text(), folder)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await take(page, folder, "keys")
    await page.keyboard.press("Escape")

    stop = tmp_path / "stop"
    await page.goto(job_address(hub.url, {"command": looping_command(stop)}))
    await main_action(page).click()
    await lines_come(page, 40)
    await take(page, folder, "job-running")

    await page.goto(job_address(hub.url, {"command": "nvidia-smi", "requirements": {"gpus": 2}}))
    await main_action(page).click()
    await expect(page.get_by_test_id("verdict")).to_contain_text("gpu")
    await take(page, folder, "job-waiting")

    async with asman.connect(hub.queue(QUEUE)) as queue:
        last = [await queue.submit(command=f"sh -c 'echo {n}; exit {(n % 4 == 3 and 1) or 0}'") for n in range(25)][-1]
        await last.result()
    await page.goto(hub.queue(QUEUE))
    await connected(page)
    await page.get_by_text("Charts").click()
    await expect(page.get_by_test_id("charts").locator("canvas")).to_have_count(4)
    await expect(row(page, last.id)).to_have_attribute("data-state", "Finished")
    await page.wait_for_function("() => Number(document.querySelector('[data-testid=charts]').dataset.samples) > 4")
    await take(page, folder, "queue")

    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await take(page, folder, "queue-phone")
    await page.goto(job_address(hub.url, job, files))
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await expect(page.locator(".preview img")).to_be_visible()
    await take(page, folder, "job-phone")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    stop.touch()

    await page.goto(f"{hub.url}/#?job=oops&queue={QUEUE}")
    await expect(page.get_by_role("alert")).to_be_visible()
    await take(page, folder, "bad-link")
    await asyncio.to_thread(hub.kill)
    await expect(page.get_by_text("The hub can't be reached")).to_be_visible(timeout=20_000)
    await take(page, folder, "offline")
