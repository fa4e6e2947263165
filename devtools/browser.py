"""Debian's Chromium, driven by Playwright, with every error that a page reports kept for the test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, ConsoleMessage, Error, Page, ViewportSize, async_playwright

_FLAGS = [
    "--no-sandbox",  # tests run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]


@dataclass
class TestBrowser:
    """A browser for one test.

    Attributes:
        browser: Playwright's own object.
        errors: The errors of pages: errors in the console and uncaught exceptions.
    """

    __test__ = False

    browser: Browser
    errors: list[str] = field(default_factory=list)

    async def open(self, url: str, *, width: int = 1280, height: int = 800, trusting: bool = False) -> Page:
        """Open a URL in a new, empty profile; returns once the page has loaded.

        Args:
            url: The address.
            width: Of the window, in pixels.
            height: Of the window, in pixels.
            trusting: Whether certificates of unknown authorities are fine.
        """
        size: ViewportSize = {"width": width, "height": height}
        context = await self.browser.new_context(viewport=size, ignore_https_errors=trusting)
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", self._console)
        page.on("pageerror", self._exception)
        await page.goto(url)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _exception(self, error: Error) -> None:
        self.errors.append(str(error))


@asynccontextmanager
async def launched_browser() -> AsyncIterator[TestBrowser]:
    """Yields a headless Chromium for as long as the block lasts.

    Raises:
        AssertionError: Chromium is not installed.
    """
    program = shutil.which("chromium")
    if program is None:
        raise AssertionError("chromium is not installed; make setup installs it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            yield TestBrowser(browser)
        finally:
            await browser.close()
