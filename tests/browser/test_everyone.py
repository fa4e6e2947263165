"""For everyone: axe, the keyboard alone, from a phone to a wall; and nothing but the page's own code runs or loads."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Request, expect

import asman
from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import (
    QUEUE,
    connected,
    detail,
    job_address,
    lines_come,
    main_action,
    no_sideways_scroll,
    row,
    violations,
)

pytestmark = pytest.mark.usefixtures("process_worker")

JOB = {"command": "sh $JOB_INPUTS/run.sh", "env": {"NAME": "world"}}
FILES = {
    "run.sh": "printf '\\033[31mred\\033[0m \\033[33myellow\\033[0m\\n'; echo problem >&2; seq 1 100; "
    "echo 'a,b\n1,2' > $JOB_OUTPUTS/t.csv; echo '{\"a\": [1, true]}' > $JOB_OUTPUTS/d.json"
}


async def _ran(page: Page) -> None:
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await expect(page.locator(".json-tree")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(browser: TestBrowser, hub: HubProcess, scheme: Literal["light", "dark"]) -> None:
    page = await browser.open(hub.url)
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.get_by_role("button", name="Create a queue").click()
    assert await violations(page) == []

    await page.goto(job_address(hub.url, JOB, FILES))
    await _ran(page)
    await page.get_by_role("button", name="Edit run.sh").click()
    await expect(page.locator(".cm-editor")).to_be_visible()
    assert await violations(page) == []
    await page.get_by_role("button", name="Share").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_label("Memory", exact=True).fill("much")
    await expect(page.get_by_test_id("settings")).to_contain_text("is not a size")
    assert await violations(page) == []

    async with asman.connect(hub.queue(QUEUE)) as queue:
        await queue.submit(command="sh -c 'exit 2'")
        await queue.submit(command="sleep 60")
    await page.goto(hub.queue(QUEUE))
    await expect(page.get_by_test_id("job-row")).to_have_count(3)
    await page.get_by_text("Charts").click()
    await expect(page.get_by_test_id("charts").locator("canvas")).to_have_count(4)
    await page.get_by_label("Select sleep 60").check()
    assert await violations(page) == []


async def test_everything_by_keyboard_alone(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"command": "echo by keys"}))
    await expect(main_action(page)).to_be_enabled()
    press = page.keyboard.press

    await press("r")
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(dialog).to_contain_text("Search in the log")
    await press("Escape")
    await expect(dialog).to_have_count(0)
    await press("/")
    await page.keyboard.type("keys")
    await expect(page.get_by_test_id("log-found")).to_have_text("1 line")
    await press("Escape")
    await press("w")
    await expect(page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "false")

    # Every control is reached by Tab, in the order of the page, and shows that it is.
    await page.get_by_role("link", name="Asman, start page").focus()
    reached: list[str] = []
    for _ in range(80):
        await press("Tab")
        name = await page.evaluate(
            """() => { const on = document.activeElement; if (on === document.body) return '';
                const ring = getComputedStyle(on); if (ring.outlineStyle === 'none') return 'no ring: ' + on.outerHTML;
                return on.getAttribute('aria-label') ?? on.labels?.[0]?.textContent ?? on.textContent }"""
        )
        if name == "":
            break
        reached.append(name)
    assert [name for name in reached if name.startswith("no ring")] == []
    wanted = ["Share", "Run again", "Wrap", "Follow", "New text file", "Form", "Image", "Command", "Memory"]
    at = [next((n for n, name in enumerate(reached) if name.strip() == word), -1) for word in wanted]
    assert -1 not in at, reached
    assert at == sorted(at)

    # An edit, its undo by keys, and a new run.
    await page.get_by_label("Command", exact=True).focus()
    await press("Control+a")
    await page.keyboard.type("echo typed")
    await expect(detail(page)).to_have_attribute("data-state", "none")
    await press("Tab")
    await page.evaluate("document.activeElement.blur()")
    await press("Control+z")
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    assert browser.errors == []


@pytest.mark.parametrize("width", [360, 1600])
async def test_from_a_phone_to_a_wall(browser: TestBrowser, hub: HubProcess, width: int) -> None:
    page = await browser.open(hub.url, width=width, height=800)
    await expect(page.locator(".examples a")).to_have_count(3)
    await no_sideways_scroll(page)
    await page.goto(job_address(hub.url, {"command": f"echo {'very-long-word-' * 40}"}, {"a-long-name" * 8: "text"}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await lines_come(page, 1)
    await no_sideways_scroll(page)
    job = await detail(page).get_attribute("data-job")
    await page.goto(hub.queue(QUEUE))
    await connected(page)
    await expect(row(page, job or "")).to_be_visible()
    await page.get_by_text("Charts").click()
    await expect(page.get_by_test_id("charts").locator("canvas")).to_have_count(4)
    await no_sideways_scroll(page)
    assert browser.errors == []


async def test_nothing_is_loaded_from_other_sites_and_inline_scripts_do_not_run(
    browser: TestBrowser, hub: HubProcess
) -> None:
    page = await browser.open(hub.url)
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    await page.goto(job_address(hub.url, JOB, FILES))
    await _ran(page)
    await page.get_by_role("button", name="Edit run.sh").click()
    await expect(page.locator(".cm-editor")).to_be_visible()
    assert len(asked) > 5
    assert {urlsplit(each.url).netloc for each in asked} <= {urlsplit(hub.url).netloc, ""}
    assert browser.errors == []
    await page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';
            document.body.append(script); }"""
    )
    assert await page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in browser.errors)
