"""The log viewer in a real browser: very long logs, colours, progress, search, folding, following."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import connected, detail, job_address, lines_come, log_lines, looping_command, main_action, said

pytestmark = pytest.mark.usefixtures("process_worker")


async def test_a_hundred_thousand_lines_are_there_and_few_are_drawn(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"command": "seq 1 100000"}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success", timeout=60_000)
    await lines_come(page, 100_000)
    lines = page.get_by_test_id("log-line")
    await expect(lines.last).to_contain_text("100000")
    assert await lines.count() < 200
    await page.get_by_role("searchbox", name="Search in the log").fill("99999")
    await expect(page.get_by_test_id("log-found")).to_have_text("1 line")
    await page.keyboard.press("Enter")
    await expect(page.locator(".line.current")).to_contain_text("99999")
    await page.evaluate("document.querySelector('[data-testid=log]').scrollTop = 0")
    await expect(lines.first).to_have_attribute("data-seq", "0")
    await page.reload()
    await lines_come(page, 100_000)
    assert browser.errors == []


async def test_colours_links_and_progress_as_a_terminal_shows_them(browser: TestBrowser, hub: HubProcess) -> None:
    script = r"""printf '\033[31mred\033[0m \033[38;5;208morange\033[0m \033[48;2;1;2;3mdeep\033[0m\n'
printf 'see https://example.org/a?b=1.\n'
printf '10 %%\r50 %%\r100 %%\n'
printf '<b>not bold</b>\n'
"""
    page = await browser.open(job_address(hub.url, {"command": "sh $JOB_INPUTS/s.sh"}, {"s.sh": script}))
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    texts = page.get_by_test_id("log-text")
    await expect(texts).to_have_text(["red orange deep", "see https://example.org/a?b=1.", "100 %", "<b>not bold</b>"])
    await expect(texts.first.locator("span").nth(1)).to_have_css("color", "rgb(255, 135, 0)")
    await expect(texts.first.locator("span").nth(2)).to_have_css("background-color", "rgb(1, 2, 3)")
    await expect(page.get_by_role("log").get_by_role("link")).to_have_attribute("href", "https://example.org/a?b=1")
    assert browser.errors == []


async def test_following_pauses_on_scroll_and_goes_on(browser: TestBrowser, hub: HubProcess, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    page = await browser.open(job_address(hub.url, {"command": looping_command(stop)}))
    await connected(page)
    await main_action(page).click()
    await lines_come(page, 60)
    follow = page.get_by_role("button", name="Follow")
    await expect(follow).to_have_attribute("aria-pressed", "true")
    await page.get_by_test_id("log").hover()
    await page.mouse.wheel(0, -300)
    await expect(follow).to_have_attribute("aria-pressed", "false")
    fresh = page.get_by_role("button", name="new line")
    await expect(fresh).to_be_visible()
    await fresh.click()
    await expect(follow).to_have_attribute("aria-pressed", "true")
    stop.touch()
    await expect(page.get_by_test_id("log-text").last).to_contain_text("end ")
    assert browser.errors == []


async def test_wrapped_lines_are_all_reached(browser: TestBrowser, hub: HubProcess) -> None:
    script = 'n=0; while [ $n -lt 300 ]; do echo "$n ' + "word and 日本 " * 30 + '"; n=$((n+1)); done'
    page = await browser.open(
        job_address(hub.url, {"command": "sh $JOB_INPUTS/s.sh"}, {"s.sh": script}), width=420, height=700
    )
    await main_action(page).click()
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    await expect(page.get_by_test_id("log-text").last).to_contain_text("299 ")
    assert [line.split(" ", 1)[0] for line in said(await log_lines(page))] == [str(n) for n in range(300)]
    await page.get_by_role("button", name="Wrap").click()
    assert len(said(await log_lines(page))) == 300
    await page.get_by_role("button", name="Times").click()
    await expect(page.locator(".line .when").first).to_be_attached()
    assert browser.errors == []
