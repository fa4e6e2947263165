"""An address that a worker names as an output: the viewer's browser asks it only after a click."""

from __future__ import annotations

import base64
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.async_api import expect

import asman
from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import QUEUE, connected, detail, job_address, main_action, violations
from tests.support.api import opened_api
from tests.support.parent_page import parent_page
from tests.support.plain_worker import plain_worker

LOADED = """async url => {
  const picture = new Promise(done => {
    const image = new Image();
    image.onload = () => done("loaded");
    image.onerror = () => done("refused");
    image.src = url;
  });
  return [await picture, (await fetch(url)).status];
}"""


class Neighbour:
    """A server that only the viewer's machine reaches; it writes down what it is asked."""

    def __init__(self, server: ThreadingHTTPServer, asked: list[str]) -> None:
        self.host = f"127.0.0.1:{server.server_address[1]}"
        self.asked = asked

    def output(self, name: str, media_type: str) -> dict[str, Any]:
        """Returns an output that a worker names there."""
        ref = {"type": "url", "value": f"http://{self.host}/{name}"}
        return {"ref": ref, "size": 5, "sha256": "0" * 64, "media_type": media_type}


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(b"there")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Neighbour(server, asked)
    server.shutdown()
    thread.join()
    server.server_close()


def kept(text: str, media_type: str) -> dict[str, Any]:
    return {"ref": {"value": text}, "size": len(text), "sha256": "0" * 64, "media_type": media_type}


async def test_the_page_asks_no_address_that_a_worker_names_until_a_person_clicks(
    browser: TestBrowser, hub: HubProcess, neighbour: Neighbour
) -> None:
    async with opened_api(hub.url) as api:
        assert (await api.call("PUT", "/f/hub.txt", data=b"of the hub")).status == 201
    there = f"http://{neighbour.host}"
    markdown = (
        f"# Heading\n\n![picture]({there}/1.png)\n\n<img src='{there}/2.png'>\n"
        f"<link rel=stylesheet href='{there}/3.css'><link rel=preconnect href='{there}/'>\n"
        f"<meta http-equiv=refresh content='0;url={there}/4'>\n"
        f"<audio src='{there}/5.wav' autoplay></audio>\n\nthe end\n"
    )
    hub_file = {"ref": {"type": "url", "value": f"{hub.url}/f/hub.txt"}, "size": 10, "sha256": "0" * 64}
    outputs = {
        "a.txt": neighbour.output("a.txt", "text/plain"),
        "b.png": neighbour.output("b.png", "image/png"),
        "c.json": neighbour.output("c.json", "application/json"),
        "h.txt": {**hub_file, "media_type": "text/plain"},
        "k.md": kept(markdown, "text/markdown"),
    }
    page = await browser.open(job_address(hub.url, {"image": "any", "command": "any"}))
    await connected(page)
    async with plain_worker(hub.url, QUEUE) as worker:
        await main_action(page).click()
        await worker.finish(await worker.assigned(), outputs=outputs)
    await expect(detail(page)).to_have_attribute("data-reason", "Success")

    # What the hub has opens by itself; nothing else has a preview.
    rows = page.get_by_test_id("output")
    await expect(rows).to_have_count(5)
    await expect(rows.filter(has_text="h.txt").get_by_test_id("preview")).to_contain_text("of the hub")
    frame = page.frame_locator("iframe[title='Preview of k.md']")
    await expect(frame.get_by_text("the end")).to_be_visible()
    await expect(page.get_by_role("button", name="Hide the preview of")).to_have_count(2)
    await expect(page.get_by_role("button", name="Preview of a.txt")).to_have_count(0)
    await expect(page.get_by_text("3 files are not kept on the hub")).to_be_visible()
    assert await violations(page) == []
    async with page.expect_download() as download:
        await page.evaluate("delete window.showSaveFilePicker")
        await page.get_by_role("button", name="Download all as zip").click()
    with zipfile.ZipFile(await (await download.value).path()) as archive:
        assert sorted(archive.namelist()) == ["h.txt", "k.md"]

    # Who has the job's link alone sees the same.
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.get(str(await detail(page).get_attribute("data-job")))
    linked = await browser.open(str(job.url))
    files = linked.get_by_test_id("output")
    await expect(files).to_have_count(5)
    await expect(files.filter(has_text="h.txt").get_by_test_id("preview")).to_contain_text("of the hub")
    await expect(linked.get_by_role("link", name=f"Open at {neighbour.host}: a.txt")).to_be_visible()
    await expect(linked.get_by_role("button", name="Hide the preview of")).to_have_count(2)
    await expect(linked.get_by_role("button", name="Preview of a.txt")).to_have_count(0)
    assert neighbour.asked == []

    # The hub itself sends no page of its own there.
    link = page.get_by_role("link", name=f"Open at {neighbour.host}: a.txt")
    assert await page.evaluate(LOADED, await link.get_attribute("href")) == ["refused", 403]
    assert neighbour.asked == []

    async with page.expect_popup() as opening:
        await link.click()
    opened = await opening.value
    await expect(opened.get_by_text(f"not kept here, but at {neighbour.host}")).to_be_visible()
    assert neighbour.asked == []
    await opened.get_by_role("link").click()
    await expect(opened.get_by_text("there", exact=True)).to_be_visible()
    assert "/a.txt" in neighbour.asked


async def test_a_frame_that_pipes_out_whole_files_asks_no_address_that_a_worker_names(
    browser: TestBrowser, hub: HubProcess, neighbour: Neighbour
) -> None:
    outputs = {"a.txt": neighbour.output("a.txt", "text/plain"), "own.txt": kept("of the hub", "text/plain")}
    frame = job_address(hub.url, {"image": "any", "command": "any"}, autostart="true", resolverefs="true")
    async with plain_worker(hub.url, QUEUE) as worker:
        with parent_page({"frame": {"url": frame}}) as address:
            page = await browser.open(address)
            await worker.finish(await worker.assigned(), outputs=outputs)
            await page.wait_for_function("() => metapage.getState().metaframes.outputs.frame?.['own.txt']")
            piped = await page.evaluate("metapage.getState().metaframes.outputs.frame")
    assert piped["a.txt"] == outputs["a.txt"]["ref"]
    assert "of the hub" in base64.b64decode(piped["own.txt"].partition("base64,")[2]).decode()
    assert neighbour.asked == []
