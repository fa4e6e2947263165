"""The documentation that a hub serves: as pages, as Markdown, for reading alone, and nothing beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import aiohttp
import pytest

from devtools.asman_processes import HubProcess
from devtools.page import ROOT

SITE = ROOT / "server/asman_server/site"


@pytest.fixture
def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    if not (SITE / "site.json").is_file():
        pytest.fail("the documentation is not built; make site builds it", pytrace=False)
    return hub_process()


@pytest.fixture
async def http(hub: HubProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(hub.url) as session:
        yield session


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("/llms.txt", "llms.txt", "text/plain"),
        ("/docs", "index.html", "text/html"),
        ("/docs/", "docs/index.html", "text/html"),
        ("/docs/worker", "docs/worker.html", "text/html"),
        ("/docs/worker.html", "docs/worker.html", "text/html"),
        ("/docs/worker.md", "docs/worker.md", "text/markdown"),
        ("/docs/decisions/", "docs/decisions/index.html", "text/html"),
        ("/docs/decisions/0002-pure-core", "docs/decisions/0002-pure-core.html", "text/html"),
        ("/docs/screenshots/job-done-dark.webp", "docs/screenshots/job-done-dark.webp", "image/webp"),
    ],
)
async def test_a_page_is_sent_once_and_then_only_when_it_has_changed(
    http: aiohttp.ClientSession, path: str, file: str, kind: str
) -> None:
    body = (SITE / file).read_bytes()
    async with http.get(path) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, kind, body)
        headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "public, max-age=300"
    assert "script-src" not in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self'")
    async with http.head(path) as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, str(len(body)), b"")
    for known in (headers["ETag"], f'W/{headers["ETag"]}, "other"'):
        async with http.get(path, headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"], await answer.read()) == (304, headers["ETag"], b"")
    async with http.get(path, headers={"If-None-Match": '"other"'}) as answer:
        assert answer.status == 200


async def test_what_is_named_by_its_content_is_kept_for_ever(http: aiohttp.ClientSession) -> None:
    for path in SITE.glob("docs/site-*"):
        async with http.get(f"/docs/{path.name}") as answer:
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "/docs/none",
        "/docs/site.json",
        "/docs/../site.json",
        "/docs/..%2fsite.json",
        "/docs/%2e%2e/site.json",
        "/docs/..%2f..%2frest%2fsite.py",
        "/docs/%2fetc%2fpasswd",
        "/docs//etc/passwd",
        "/docs/worker%00.html",
        "/docs/decisions",
        "/docs/" + "x" * 5000,
    ],
)
async def test_nothing_else_is_served(hub: HubProcess, path: str) -> None:
    """The address is sent as it stands here, which clients otherwise put in order."""
    url = urlsplit(hub.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404"), answer[:200]


@pytest.mark.parametrize("path", ["/llms.txt", "/docs", "/docs/worker.md"])
async def test_the_documentation_is_for_reading_alone(http: aiohttp.ClientSession, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        async with http.request(method, path, data=b"x") as answer:
            assert answer.status == 405
            assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
