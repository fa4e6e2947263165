"""Run `make dev`: a hub and a worker that restart when their source changes, and the page with live reload.

usage: python -m scripts.dev

The queue's name is unguessable, because any web page can send requests to a port of this machine. It is made once and
kept in ``.asman-dev``. Jobs run in containers.

Environment: ``PORT`` names the hub's port (default: 8000, or the next free one); the page's own is what Vite prints.
``LOCAL_WITHOUT_CONTAINERS=1`` lets jobs run as plain processes of your own user, without any container, as
``asman up --local-without-containers`` does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from asman.cli.commands.up import kept_queue
from devtools.engine import ROOT, NoEngineError
from scripts.run import CannotRunError, Containers, choose_port, find_containers, say

__all__ = ["WITHOUT_CONTAINERS", "CannotRunError", "Containers", "Restarted", "jobs_in", "newest", "worker_command"]

ASMAN = Path(sys.executable).with_name("asman")
#: Variable that allows jobs without containers.
WITHOUT_CONTAINERS = "LOCAL_WITHOUT_CONTAINERS"
#: Folders with the sources of each process: a change restarts it.
HUB_PARTS = ("shared", "server", "client")
WORKER_PARTS = ("shared", "worker", "client")
_LOOK_SECONDS = 0.5
_END_SECONDS = 20.0


def newest(parts: Iterable[str], root: Path = ROOT) -> float:
    """Return the latest change of a Python file below these folders, in seconds of the epoch; 0 if there is none."""
    return max((path.stat().st_mtime for part in parts for path in (root / part).rglob("*.py")), default=0.0)


class Restarted:
    """A process that restarts when its source changes, even if it had ended by itself before.

    Attributes:
        name: The name in messages.
    """

    def __init__(self, name: str, command: list[str], parts: tuple[str, ...], root: Path = ROOT) -> None:
        self.name = name
        self._command = command
        self._parts = parts
        self._root = root
        self._seen = newest(parts, root)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Returns its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it from its present source."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603

    def look(self) -> bool:
        """Start it again if its source changed; return whether it did."""
        changed = newest(self._parts, self._root)
        if changed <= self._seen:
            return False
        self._seen = changed
        say(f"{self.name}: its source changed, so it starts again")
        self.stop()
        self.start()
        return True

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def jobs_in(stack: ExitStack) -> Containers:
    """Returns how jobs run: in containers, or as plain processes if the developer asks for that.

    Raises:
        CannotRunError: There is no container engine, or no image for it.
    """
    if os.environ.get(WITHOUT_CONTAINERS, "") not in ("", "0"):
        say(f"Jobs run as plain processes of your own user, without a container: {WITHOUT_CONTAINERS} says so.")
        return Containers("process", None)
    try:
        return find_containers(stack)
    except NoEngineError as error:
        raise CannotRunError(
            f"jobs have no container: {error}\nInstall and start Docker, or run `{WITHOUT_CONTAINERS}=1 make dev`: "
            "jobs are then plain processes of your own user, and can do all that you can"
        ) from error


def worker_command(hub_url: str, data: Path, containers: Containers) -> list[str]:
    """Returns the command of the worker, on the queue that is kept in the data folder."""
    queue = kept_queue(data / "hub", None)
    url = data / "worker-queue"  # a file, because the command is shown to every user of the machine
    url.touch(mode=0o600)
    url.write_text(f"{hub_url}/q/{queue}\n")
    command = [str(ASMAN), "worker", "--queue-file", str(url), "--executor", containers.executor]
    command += ["--data-dir", str(data / "worker")]
    if containers.image:
        command += ["--local-images", containers.image]
    return command


def main() -> int:
    """Run all three until Ctrl-C."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _end)
    try:
        with ExitStack() as stack:
            containers = jobs_in(stack)
            port = choose_port()
            hub_url = f"http://127.0.0.1:{port}"
            data = ROOT / ".asman-dev"
            hub = [str(ASMAN), "hub", "--port", str(port), "--data-dir", str(data / "hub")]
            if containers.image:
                hub += ["--default-image", containers.image]
            worker = worker_command(hub_url, data, containers)
            parts = [Restarted("hub", hub, HUB_PARTS), Restarted("worker", worker, WORKER_PARTS)]
            for part in parts:
                stack.callback(part.stop)
                part.start()
            page = subprocess.Popen(  # noqa: S603
                ["npm", "--prefix", str(ROOT / "web"), "run", "--silent", "dev"],  # noqa: S607 - found by scripts/lib.sh
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "ASMAN_HUB": hub_url, "PATH": f"{ASMAN.parent}:{os.environ.get('PATH', '')}"},
            )
            stack.callback(_end_page, page)
            queue = kept_queue(data / "hub", None)
            say(f"Hub: {hub_url}. Open the address that Vite prints, and there /q/{queue}; Ctrl-C ends it.")
            while page.poll() is None:
                time.sleep(_LOOK_SECONDS)
                for part in parts:
                    part.look()
            raise CannotRunError(f"the page's server ended with exit code {page.returncode}")
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except CannotRunError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _end_page(page: subprocess.Popen[bytes]) -> None:
    """End npm and what it started, which share a process group of their own."""
    if page.poll() is None:
        os.killpg(page.pid, signal.SIGTERM)
        page.wait(_END_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
