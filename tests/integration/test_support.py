"""What the other tests stand on: the image runs, the browser shows a page and keeps its errors."""

from __future__ import annotations

import aiodocker

from devtools.browser import TestBrowser
from devtools.engine import Engine


async def test_the_image_runs_a_shell(engine: Engine, busybox_image: str) -> None:
    async with aiodocker.Docker(url=engine.host) as docker:
        container = await docker.containers.create(
            {"Image": busybox_image, "Cmd": ["sh", "-c", "echo hello from $(whoami); touch /tmp/x; exit 3"]}
        )
        try:
            await container.start()
            assert (await container.wait(timeout=30))["StatusCode"] == 3
            assert await container.log(stdout=True, stderr=True) == ["hello from root\n"]
        finally:
            await container.delete(force=True, v=True)


async def test_the_browser_shows_a_page_and_keeps_its_errors(browser: TestBrowser) -> None:
    page = await browser.open(
        "data:text/html,<h1>Jobs</h1><script>console.error('said'); throw Error('thrown')</script>"
    )
    assert await page.text_content("h1") == "Jobs"
    assert [error.partition(" (")[0] for error in browser.errors] == ["said", "thrown"]
