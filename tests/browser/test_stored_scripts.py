"""A file that somebody stored on the hub never becomes a script of the hub's origin, in a real browser."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, job_address, main_action
from tests.support.api import Api, opened_api
from tests.support.parent_page import served
from tests.support.plain_worker import plain_worker

SCRIPT = b"self.document ? (document.title = 'a stored script ran') : self.skipWaiting();"
RAN = "a stored script ran"
REGISTER = """async path => {
  try {
    await navigator.serviceWorker.register(path);
    return "registered";
  } catch (error) {
    return error.name;
  }
}"""


async def stored_script(api: Api) -> str:
    """Stores a script; returns its path."""
    path = f"/f/{hashlib.sha256(SCRIPT).hexdigest()}.js"
    assert (await api.call("PUT", path, data=SCRIPT)).status == 201
    return path


async def registered(page: Page) -> int:
    """Returns the number of service workers of the page's origin."""
    return int(await page.evaluate("async () => (await navigator.serviceWorker.getRegistrations()).length"))


async def test_no_page_of_the_hub_makes_a_stored_file_its_service_worker(browser: TestBrowser, hub: HubProcess) -> None:
    with served({"/": ("text/html", b"<!doctype html>"), "/own.js": ("text/javascript", SCRIPT)}) as other:
        # The browser itself has service workers, and takes this script for one where it is served as a script.
        page = await browser.open(other)
        assert await page.evaluate(REGISTER, "/own.js") == "registered"
    async with opened_api(hub.url) as api:
        path = await stored_script(api)
        # The answer of /healthz is a page of this origin without any policy, so that only the file's own type is left.
        for address in ("/", f"/q/{QUEUE}", "/healthz"):
            page = await browser.open(hub.url + address)
            assert await page.evaluate(REGISTER, path) in ("SecurityError", "TypeError"), address
            assert await registered(page) == 0


def output(text: str, media_type: str) -> dict[str, Any]:
    return {"ref": {"value": text}, "size": len(text), "sha256": "0" * 64, "media_type": media_type}


@pytest.mark.parametrize("name", ["drawing.svg", "page.html"])
async def test_an_output_that_loads_a_stored_script_runs_nothing(
    browser: TestBrowser, hub: HubProcess, name: str
) -> None:
    async with opened_api(hub.url) as api:
        path = await stored_script(api)
    texts = {
        "drawing.svg": (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><title>seen</title><script href="{path}"/>'
            f"<script>document.title = '{RAN}'</script><rect width='90' height='60'/></svg>"
        ),
        "page.html": (
            f"<!doctype html><title>seen</title><script src='{path}'></script>"
            f"<script type=module src='{path}'></script>"
            f"<script>document.title = '{RAN}'</script><img src=x onerror=\"document.title = '{RAN}'\"><p>seen</p>"
        ),
    }
    # The script does run where a page may run it, so that its silence below says something.
    with served({"/": ("text/html", texts["page.html"].encode()), path: ("text/javascript", SCRIPT)}) as other:
        page = await browser.open(other)
        await page.wait_for_function("title => document.title === title", arg=RAN)

    media_type = {"drawing.svg": "image/svg+xml", "page.html": "text/html"}[name]
    page = await browser.open(job_address(hub.url, {"image": "any", "command": "any"}))
    await connected(page)
    async with plain_worker(hub.url, QUEUE) as worker:
        await main_action(page).click()
        await worker.finish(await worker.assigned(), outputs={name: output(texts[name], media_type)})
    await expect(detail(page)).to_have_attribute("data-reason", "Success")
    # The page writes its title with the next picture, a moment after what is in it.
    title = re.compile("^Success ")
    await expect(page).to_have_title(title)
    row = page.get_by_test_id("output")
    if name == "page.html":
        await row.get_by_role("button", name="Preview").click()
        await expect(page.frame_locator(f"iframe[title='Preview of {name}']").get_by_text("seen")).to_be_visible()
    else:
        await expect(row.get_by_role("img", name=name)).to_be_visible()
    await expect(page).to_have_title(title)

    # Opened in a tab of its own it is a document of the hub's address, and still has no script.
    async with page.expect_popup() as opening:
        await row.get_by_role("link", name=name, exact=True).click()
    opened = await opening.value
    await opened.wait_for_load_state("networkidle")
    shown = "document.documentElement.querySelector('title').textContent"
    assert await opened.evaluate(shown) == "seen"
    assert await opened.evaluate("self.origin") == "null"
    # And the hub sends the script as text, which no browser loads as a script in the hub's own page.
    loaded = """path => new Promise(done => {
        const script = document.createElement("script");
        script.src = path;
        script.onload = () => done("loaded");
        script.onerror = () => done("refused");
        document.head.append(script);
    })"""
    plain = await browser.open(f"{hub.url}/healthz")
    assert await plain.evaluate(loaded, path) == "refused"
    assert await plain.title() != RAN
