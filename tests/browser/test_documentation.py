"""The documentation that a hub serves, in a browser: for everyone, offline, from a phone to a wide window."""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Request, expect

from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import ROOT, no_sideways_scroll, violations

PAGES = ("/docs", "/docs/page", "/docs/promises", "/docs/protocol", "/docs/cli", "/docs/decisions/")


@pytest.fixture(autouse=True)
def documentation_is_built() -> None:
    if not (ROOT / "server/asman_server/site/site.json").is_file():
        pytest.fail("the documentation is not built; make site builds it", pytrace=False)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_readable_by_everyone_and_never_scrolls_sideways(
    browser: TestBrowser, hub: HubProcess, scheme: Literal["light", "dark"], width: int
) -> None:
    page = await browser.open(f"{hub.url}/docs", width=width)
    await page.emulate_media(color_scheme=scheme)
    for path in PAGES:
        await page.goto(hub.url + path)
        await no_sideways_scroll(page)
        assert await violations(page) == [], path
        if os.environ.get("SCREENSHOTS"):
            name = path.strip("/").replace("/", "-")
            await page.screenshot(path=ROOT / f"out/{name}-{scheme}-{width}.png")
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 128) == (scheme == "dark")
    assert browser.errors == []


async def test_a_reader_goes_from_page_to_page_and_nothing_comes_from_elsewhere(
    browser: TestBrowser, hub: HubProcess
) -> None:
    asked: list[str] = []
    page = await browser.open(hub.url)
    await page.get_by_role("link", name="Documentation").click()
    await page.wait_for_url("**/docs")

    def ask(request: Request) -> None:
        asked.append(request.url)

    page.on("request", ask)
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Asman")
    picture = page.get_by_alt_text("The page of a finished job")
    assert await picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 100
    await page.get_by_role("main").get_by_role("link", name="docs/dialect.md").first.click()
    await expect(page).to_have_url(f"{hub.url}/docs/dialect.html")
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="The worker", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("The worker")
    await expect(page.locator("nav [aria-current=page]")).to_have_text("The worker")
    await page.get_by_text("On this page").click()
    heading = await page.locator(".toc a").last.inner_text()
    await page.locator(".toc a").last.click()
    await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_in_viewport()
    assert browser.errors == []
    await page.get_by_role("link", name="This page as Markdown").click()
    await page.wait_for_url("**/docs/worker.md")
    assert {urlsplit(each).netloc for each in asked} == {urlsplit(hub.url).netloc}
