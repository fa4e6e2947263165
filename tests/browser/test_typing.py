"""The page takes every key of a person who types without a pause."""

from __future__ import annotations

from playwright.async_api import expect

from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import connected, job_address


async def test_a_new_text_takes_every_key_from_its_name_on(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"command": "sh -c 'cat $JOB_INPUTS/note.txt'"}))
    await connected(page)
    text = "row upon row, the quick brown fox jumps over it\nand a second line"
    await page.get_by_role("button", name="New text file").click()
    await page.get_by_label("Name of the new text file").fill("note.txt")
    await page.keyboard.type(f"\n{text}")
    await expect(page.get_by_test_id("input")).to_contain_text(f"{len(text)} B")
    await expect(page.get_by_role("textbox", name="Text of note.txt")).to_have_text(text.replace("\n", ""))
    await expect(page.get_by_test_id("job-detail")).to_have_attribute("data-state", "none")
    assert browser.errors == []


async def test_the_definition_as_json_takes_every_key(browser: TestBrowser, hub: HubProcess) -> None:
    page = await browser.open(job_address(hub.url, {"command": "echo"}))
    await connected(page)
    await page.get_by_role("button", name="JSON", exact=True).click()
    await page.get_by_role("textbox", name="The definition as JSON").press("ControlOrMeta+a")
    await page.keyboard.type('{"command": "echo typed quickly"}')
    await page.get_by_role("button", name="Form", exact=True).click()
    await expect(page.get_by_label("Command", exact=True)).to_have_value("echo typed quickly")
    assert browser.errors == []
