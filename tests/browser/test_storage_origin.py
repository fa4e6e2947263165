"""A page of another origin reads and sends files that are in S3, under the CORS rule that docs/blobs.md names."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from devtools.asman_processes import HubProcess
from devtools.browser import TestBrowser
from devtools.page import ROOT
from tests.support.api import opened_api
from tests.support.weed import WeedServer

BODY = b"sent by a page"
KEY = hashlib.sha256(BODY).hexdigest()
READ = """async url => {
  try { return await (await fetch(url)).text(); } catch (error) { return String(error); }
}"""
SEND = """async ([url, body]) => {
  try { return (await fetch(url, {method: "PUT", body})).status; } catch (error) { return String(error); }
}"""


class Quiet(BaseHTTPRequestHandler):
    """Serves an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another origin</title><link rel=icon href=data:,>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def other_origin() -> Iterator[str]:
    """The origin of a page that is neither the hub's nor the storage's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def documented() -> dict[str, Any]:
    """The rule in the documentation."""
    (found,) = re.findall(r"```json\n(\{\s+\"CORSRules\".*?)```", (ROOT / "docs/blobs.md").read_text(), re.DOTALL)
    return dict(json.loads(found))


@pytest.mark.parametrize("origins", ["as documented", "the page and null", "the page alone"])
async def test_a_page_of_another_origin_is_redirected_to_the_storage_and_may_read_and_send(
    weed: WeedServer, hub_process: Callable[..., HubProcess], browser: TestBrowser, other_origin: str, origins: str
) -> None:
    bucket = await asyncio.to_thread(weed.new_bucket)
    rule = documented()
    if origins != "as documented":
        rule["CORSRules"][0]["AllowedOrigins"] = [other_origin, *(["null"] if "null" in origins else [])]
    await asyncio.to_thread(weed.allow_origins, bucket, rule)
    hub = await asyncio.to_thread(lambda: hub_process("--blobs", f"s3://{bucket}", environment=weed.environment))
    async with opened_api(hub.url) as api:
        assert (await api.call("PUT", "/f/read.txt", data=b"read by a page")).status == 201
    page = await browser.open(other_origin)
    read = await page.evaluate(READ, f"{hub.url}/f/read.txt")
    sent = await page.evaluate(SEND, [f"{hub.url}/f/{KEY}", BODY.decode()])
    if origins == "the page alone":
        # This is why the documentation speaks of null: after the redirect it is not the page's origin that is sent.
        assert "Failed to fetch" in read
        assert "Failed to fetch" in str(sent)
        return
    assert read == "read by a page"
    assert sent == 200
    assert await page.evaluate(READ, f"{hub.url}/f/{KEY}") == BODY.decode()
    assert browser.errors == []
