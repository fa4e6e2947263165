"""Debian's Firefox, driven by WebDriver BiDi over its websocket, with every error that a page reports kept."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .patience import PATIENCE

_LISTENS: Final = re.compile(r"WebDriver BiDi listening on (ws://[\d.]+:\d+)")
_PREFERENCES: Final = {
    "app.update.auto": False,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_open_during_load": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
"""Preferences of the profile: nothing outside of the test is asked for."""
_PAUSE: Final = 0.05
"""Pause between two looks at a page, in seconds."""
KEYS: Final = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Backspace": "\ue003", "Control": "\ue009"}
"""Keys that are no letters, as WebDriver names them."""


_RESTS: Final = """async (element) => {
  element.scrollIntoView({ block: "center" });
  for (let before = "", turn = 0; turn < 100; turn++) {
    const { x, y } = element.getBoundingClientRect();
    if (before === `${x} ${y}`) return;
    before = `${x} ${y}`;
    await new Promise((done) => setTimeout(done, 50));
  }
}"""
"""Scrolls an element into sight, and waits until it stands still, for 5 s at most."""


class FirefoxTab:
    """One tab in a profile of its own.

    Attributes:
        errors: Errors in the console and uncaught exceptions.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._context = ""

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and returns its result.

        Raises:
            RuntimeError: Firefox answers with an error.
        """
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(PATIENCE):
            result: dict[str, Any] = await answer
            return result

    async def read(self) -> None:
        """Reads answers and events until the connection ends."""
        with suppress(ConnectionClosed):
            async for text in self._socket:
                message = json.loads(text)
                if message["type"] == "event":
                    entry = message["params"]
                    if message["method"] == "log.entryAdded" and entry["level"] == "error":
                        self.errors.append(str(entry["text"]))
                    continue
                answer = self._answers.pop(message["id"], None)
                if answer is None or answer.done():
                    continue
                if message["type"] == "error":
                    answer.set_exception(RuntimeError(f"{message['error']}: {message['message']}"))
                else:
                    answer.set_result(message["result"])

    async def begin(self, width: int, height: int) -> str:
        """Opens a session and a tab in a new, empty profile; returns the profile's id."""
        await self.command("session.new", capabilities={})
        await self.command("session.subscribe", events=["log.entryAdded"])
        profile = str((await self.command("browser.createUserContext"))["userContext"])
        made = await self.command("browsingContext.create", type="tab", userContext=profile)
        self._context = made["context"]
        viewport = {"width": width, "height": height}
        await self.command("browsingContext.setViewport", context=self._context, viewport=viewport)
        return profile

    async def goto(self, url: str) -> None:
        """Opens a URL; returns once the page has loaded."""
        await self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def reload(self) -> None:
        """Loads the page again."""
        await self.command("browsingContext.reload", context=self._context, wait="complete")

    async def back(self) -> None:
        """Goes one page back, as the button of the browser does."""
        await self.command("browsingContext.traverseHistory", context=self._context, delta=-1)

    async def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression, which may be a promise, through JSON.

        Raises:
            AssertionError: The expression threw an error.
        """
        made = await self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})) ?? 'null')()",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert made["type"] == "success", made["exceptionDetails"]["text"]
        return json.loads(made["result"]["value"])

    async def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Waits until an expression is true, and returns its value.

        Raises:
            AssertionError: It is not true within this time; the message has the text of the page.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := await self.evaluate(expression)):
            if asyncio.get_running_loop().time() > deadline:
                text = await self.evaluate("document.body.innerText.slice(0, 2000)")
                raise AssertionError(f"never true: {expression}\nthe page says:\n{text}")
            await asyncio.sleep(_PAUSE)
        return found

    async def sees(self, text: str) -> None:
        """Waits until the page shows a text."""
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def find(self, selector: str, name: str = "") -> dict[str, Any]:
        """Returns the first visible element of a selector whose name has this text, once there is one.

        The name is its label or its text.
        """
        await self.until(f"({_FIND})({json.dumps(selector)}, {json.dumps(name)}) !== undefined")
        made = await self.command(
            "script.callFunction",
            functionDeclaration=f"(...all) => ({_FIND})(...all)",
            arguments=[{"type": "string", "value": selector}, {"type": "string", "value": name}],
            target={"context": self._context},
            awaitPromise=False,
        )
        assert made["type"] == "success", made
        assert "sharedId" in made["result"], f"{selector} {name!r} went away"
        return {"sharedId": made["result"]["sharedId"]}

    async def click(self, selector: str, name: str = "") -> None:
        """Clicks an element with the mouse, in its middle, once it has stopped moving."""
        element = await self.find(selector, name)
        await self.command(
            "script.callFunction",
            functionDeclaration=_RESTS,
            arguments=[element],
            target={"context": self._context},
            awaitPromise=True,
        )
        actions = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": {"type": "element", "element": element}},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        await self._perform({"type": "pointer", "id": "mouse", "actions": actions})

    async def write(self, text: str) -> None:
        """Types letters into the element that has the focus."""
        await self._type(list(text))

    async def press(self, key: str, control: bool = False) -> None:
        """Presses a key, such as ``Enter`` or ``j``."""
        one = KEYS.get(key, key)
        if not control:
            await self._type([one])
            return
        down, up = {"type": "keyDown", "value": KEYS["Control"]}, {"type": "keyUp", "value": KEYS["Control"]}
        both = [down, {"type": "keyDown", "value": one}, {"type": "keyUp", "value": one}, up]
        await self._perform({"type": "key", "id": "keys", "actions": both})

    async def fill(self, selector: str, name: str, text: str) -> None:
        """Replaces the text of a field by typing."""
        await self.click(selector, name)
        await self.press("a", control=True)
        await self.write(text)

    async def choose_files(self, selector: str, files: Sequence[Path]) -> None:
        """Gives files to a field for files, which may be out of sight."""
        made = await self.command(
            "browsingContext.locateNodes",
            context=self._context,
            locator={"type": "css", "value": selector},
            maxNodeCount=1,
        )
        (node,) = made["nodes"]
        element = {"sharedId": node["sharedId"]}
        await self.command(
            "input.setFiles", context=self._context, element=element, files=[str(each) for each in files]
        )

    async def end(self, profile: str) -> None:
        """Removes the profile with its tab, and ends the session."""
        await self.command("browser.removeUserContext", userContext=profile)
        await self.command("session.end")

    async def _type(self, letters: list[str]) -> None:
        actions = [{"type": kind, "value": letter} for letter in letters for kind in ("keyDown", "keyUp")]
        await self._perform({"type": "key", "id": "keys", "actions": actions})

    async def _perform(self, source: dict[str, Any]) -> None:
        await self.command("input.performActions", context=self._context, actions=[source])


_FIND: Final = """(selector, name) => [...document.querySelectorAll(selector)].find(each => {
  const label = each.getAttribute('aria-label') ?? each.labels?.[0]?.textContent ?? each.textContent;
  return (name === '' || label.includes(name)) && each.getClientRects().length > 0 && !each.disabled;
})"""


@contextmanager
def firefox_process(folder: Path) -> Iterator[str]:
    """Runs a headless Firefox while the block lasts, and yields the address of its WebDriver BiDi.

    Args:
        folder: An empty folder for its profile and its log.

    Raises:
        AssertionError: Firefox is not installed, or does not start.
    """
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program is not None, "firefox-esr is not installed; make setup installs it"
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines) + "\n")
    log = folder / "firefox.log"
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1", "MOZ_CRASHREPORTER_DISABLE": "1"}
    with log.open("w") as written:
        process = subprocess.Popen(  # noqa: S603
            [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env=environment,
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while (found := _LISTENS.search(log.read_text(errors="replace"))) is None:
        told = log.read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"Firefox ended with {process.returncode}: {told}"
        assert time.monotonic() < deadline, f"Firefox does not listen: {told}"
        time.sleep(_PAUSE)
    return found[1]


@asynccontextmanager
async def firefox_tab(address: str, *, width: int = 1280, height: int = 800) -> AsyncIterator[FirefoxTab]:
    """Yields a tab of a running Firefox, in a profile of its own, while the block lasts.

    Args:
        address: The address of its WebDriver BiDi, which has one session at a time.
        width: Of the page, in pixels.
        height: Likewise.
    """
    async with connect(f"{address}/session", max_size=None, proxy=None) as socket:
        tab = FirefoxTab(socket)
        reading = asyncio.create_task(tab.read())
        try:
            profile = await tab.begin(width, height)
            try:
                yield tab
            finally:
                await tab.end(profile)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
