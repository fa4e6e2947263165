"""Helpers for the page in a browser: addresses that hold a job, every line of a log, the findings of axe."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.async_api import FrameLocator, Locator, Page, expect

ROOT = Path(__file__).parents[1]
QUEUE = "browser-test-queue"
LINES_PATIENCE = 60.0
"""Time limit for lines of a log to reach the page, in seconds."""
_AXE = ROOT / "web/node_modules/axe-core/axe.min.js"


def page_json(value: object) -> str:
    """Returns JSON as the newest addresses hold it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(quote(text, safe="-_.!~*'()").encode()).decode()


def job_address(
    hub: str,
    job: Mapping[str, Any],
    files: Mapping[str, str] | None = None,
    *,
    queue: str = QUEUE,
    **params: str,
) -> str:
    """Returns the address of a page that holds a whole job."""
    named = {"job": page_json(job), "queue": queue, **params}
    if files:
        named["inputs"] = page_json(files)
    return f"{hub}/#?" + "&".join(f"{name}={named[name]}" for name in sorted(named))


def row(page: Page | FrameLocator, job_id: str) -> Locator:
    """Returns a job's row in the table of a queue."""
    return page.locator(f'[data-testid="job-row"][data-job="{job_id}"]')


def detail(page: Page) -> Locator:
    """Returns the page of a job; its attributes show the job's state."""
    return page.get_by_test_id("job-detail")


def main_action(page: Page) -> Locator:
    """Returns the page's main action."""
    return page.get_by_test_id("main-action")


async def connected(page: Page | FrameLocator) -> None:
    """Wait until the page talks to its hub."""
    await expect(page.get_by_test_id("connection")).to_have_text("connected")


async def no_sideways_scroll(page: Page) -> None:
    """Checks that the page is no wider than the window."""
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def lines_come(page: Page, least: int) -> None:
    """Wait until the page holds so many lines of the log."""
    await page.wait_for_function(
        "least => Number(document.querySelector('[data-testid=log]')?.dataset.lines) >= least", arg=least
    )


async def log_lines(page: Page) -> list[tuple[int, str, str]]:
    """Scrolls through all lines of the page; returns the seq, the stream and the text of each."""
    found = await page.evaluate(
        """async () => {
            const box = document.querySelector('[data-testid=log]');
            if (!box) return [];
            const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            const seen = new Map();
            box.dispatchEvent(new WheelEvent('wheel', { deltaY: -1 }));
            await frame();
            for (let top = 0; ; top += box.clientHeight) {
                box.scrollTop = top;
                await frame();
                for (const folded of box.querySelectorAll('.log-heading [aria-expanded=false]')) folded.click();
                await frame();
                for (const line of box.querySelectorAll('[data-testid=log-line]')) {
                    const text = line.querySelector('[data-testid=log-text]').textContent;
                    seen.set(Number(line.dataset.seq), [line.dataset.stream, text]);
                }
                if (top + box.clientHeight >= box.scrollHeight) break;
            }
            return [...seen].sort((a, b) => a[0] - b[0]).map(([seq, [stream, text]]) => [seq, stream, text]);
        }"""
    )
    return [(int(seq), str(stream), str(text)) for seq, stream, text in found]


def said(lines: list[tuple[int, str, str]]) -> list[str]:
    """Returns the lines of the job itself, without the worker's own."""
    return [text for _, stream, text in lines if stream != "sys"]


async def said_at_last(page: Page, *expected: str, any_order: bool = False) -> list[tuple[int, str, str]]:
    """Wait until the job's own lines are these; a job's last lines may come after the news of its end.

    Returns all lines, the worker's own included.
    """
    deadline = asyncio.get_running_loop().time() + LINES_PATIENCE
    while True:
        lines = await log_lines(page)
        found, wanted = said(lines), list(expected)
        if any_order:
            found, wanted = sorted(found), sorted(wanted)
        if found == wanted:
            return lines
        assert asyncio.get_running_loop().time() < deadline, f"the log says {found[:20]}, not {wanted[:20]}"
        await asyncio.sleep(0.1)


async def violations(page: Page) -> list[str]:
    """Returns the violations that axe finds of the rules of accessibility, WCAG 2.1 AA and good practice."""
    await page.evaluate(_AXE.read_text())
    found = await page.evaluate(
        """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.flatMap(
            rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 200)} (${node.failureSummary})`))"""
    )
    return [str(each) for each in found]


def looping_command(stop: Path) -> str:
    """Returns a command that prints numbers until the file ``stop`` exists, and prints the last one at the end."""
    script = f'n=0; while [ ! -e {stop} ]; do echo "line $n"; n=$((n+1)); sleep 0.02; done; echo "end $n"'
    return f"sh -c '{script}'"
