"""Real ``asman`` processes: started as a person would, watched until healthy, killed by their own process id.

All calls block. In an async test use ``await asyncio.to_thread(hub.restart)``, so that the test's own connections
are still served.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from devtools.fork_server import Forked, ForkServer
from devtools.health import healthy
from devtools.patience import PATIENCE
from devtools.ports import free_port

_COMMAND = Path(sys.executable).with_name("asman")
_TAIL = 60
_OF_THE_INTERPRETER = ("PYTHON", "LD_", "MALLOC_", "OPENSSL_", "SSL_")
"""Beginnings of variables that a process reads when it starts or imports, so that a fork would miss them."""

fork_server: ForkServer | None = None
"""Forks the commands instead of starting an interpreter for each; None outside the tests."""


def asman_command() -> list[str]:
    """Returns the start of a command line: the installed console script, else the module behind it."""
    if _COMMAND.exists():
        return [str(_COMMAND)]
    return [sys.executable, "-c", "from asman.cli.main import main; main()"]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment without settings for Asman, to keep a developer's own out of the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASMAN_")}
    settings = str(Path(tempfile.gettempdir()) / "asman-tests-settings")
    kept["ASMAN_CONFIG_HOME"] = settings  # the tests use nothing that a person has configured
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200", **(extra or {})}


class AsmanProcess:
    """One ``asman`` command that runs until it is stopped.

    Attributes:
        name: The name in reports, such as ``hub``.
        log: The file with all its output, over restarts.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = log
        self._before = list(before)
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self.use_environment(environment)

    def use_environment(self, environment: Mapping[str, str] | None = None) -> None:
        """Gives it an environment from its next start on: this process's without settings for Asman, and more."""
        self._environment = clean_environment(environment)
        self._starts_anew = any(name.startswith(_OF_THE_INTERPRETER) for name in environment or ())

    @property
    def process(self) -> subprocess.Popen[bytes] | Forked:
        """Returns the present process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Returns its process id; it changes with a restart."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, seconds: float = PATIENCE) -> None:
        """Start it; returns once it is ready, which may take at most ``seconds``."""
        assert not self.running, f"{self.name} runs already"
        if fork_server is not None and not self._before and not self._starts_anew:
            self._process = fork_server.start(self._arguments, self.log, self._environment)
        else:
            self._process = self._spawned()
        try:
            self.wait_ready(seconds)
        except BaseException:
            self.kill()
            raise

    def _spawned(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [*self._before, *asman_command(), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = PATIENCE) -> None:
        """Wait until it is ready; a process without a check is ready at once."""

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); returns once it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def terminate(self, seconds: float = PATIENCE) -> int:
        """Ask it to end (SIGTERM) and return its exit code.

        Raises:
            AssertionError: It did not end within ``seconds``.
        """
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until it ends by itself and return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s\n{self.tail()}") from None

    def restart(self) -> None:
        """Kill it and start it again with the same arguments."""
        self.kill()
        self.start()

    def output(self) -> str:
        """Returns its output so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        """Returns the last lines of its output, for reports."""
        return "\n".join(self.output().splitlines()[-_TAIL:])

    def wait_for_output(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait until it has printed ``text``; returns the line that holds it."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.output().splitlines():
                if text in line:
                    return line
            assert self.running, f"{self.name} ended before it printed {text!r}\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} did not print {text!r}\n{self.tail()}"
            time.sleep(0.02)


class HubProcess(AsmanProcess):
    """``asman hub`` or ``asman up`` on its own port and data folder, the same ones after every restart.

    Attributes:
        port: The port it listens on.
        data: Its data folder.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        command: str = "hub",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.data = folder / f"data-{self.port}"
        own = [command, "--port", str(self.port), "--data-dir", str(self.data)]
        super().__init__(command, [*own, *arguments], folder / f"{command}-{self.port}.log", environment)

    @property
    def url(self) -> str:
        """Returns the hub's base address."""
        return f"http://127.0.0.1:{self.port}"

    def queue(self, name: str) -> str:
        """Returns the URL of a queue on this hub."""
        return f"{self.url}/q/{name}"

    def healthy(self) -> bool:
        """Whether ``/healthz`` answers 200 now."""
        return healthy(self.port)

    def wait_ready(self, seconds: float = PATIENCE) -> None:
        """Wait until the hub is healthy.

        Raises:
            AssertionError: It ended, or is not healthy in time; the message has its last output.
        """
        deadline = time.monotonic() + seconds
        while not self.healthy():
            assert self.running, f"{self.name} ended with {self.process.returncode}\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} is not healthy\n{self.tail()}"
            time.sleep(0.02)


class AsmanProcesses:
    """Starts processes for one test and ends those that still run when it is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[AsmanProcess] = []

    def hub(self, *arguments: str, command: str = "hub", environment: Mapping[str, str] | None = None) -> HubProcess:
        """Start a hub; ``command="up"`` for one with a worker inside. Returns when it is healthy."""
        hub = HubProcess(self.folder, *arguments, command=command, environment=environment)
        self.started.append(hub)
        hub.start()
        return hub

    def worker(
        self,
        queue_url: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> AsmanProcess:
        """Start ``asman worker`` for a queue; it connects by itself, and the test waits for that if necessary."""
        return self.run("worker", queue_url, *arguments, environment=environment, before=before)

    def run(
        self,
        command: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> AsmanProcess:
        """Start any other ``asman`` command that keeps running, optionally through another command."""
        log = self.folder / f"{command}-{len(self.started)}.log"
        process = AsmanProcess(command, [command, *arguments], log, environment, before)
        self.started.append(process)
        process.start()
        return process

    def stop_all(self) -> None:
        """End them, the last one first: SIGTERM, then SIGKILL for a process that does not end within ten seconds."""
        for process in reversed(self.started):
            if process.running:
                process.process.terminate()
        for process in reversed(self.started):
            if process.running:
                try:
                    process.process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()

    def report(self) -> list[tuple[str, str]]:
        """Returns the last lines of the output of each process."""
        return [(f"the last lines of {process.name} ({process.log.name})", process.tail()) for process in self.started]


@contextmanager
def asman_processes(folder: Path) -> Iterator[AsmanProcesses]:
    """Yields a starter of processes, which all end with the block."""
    processes = AsmanProcesses(folder)
    try:
        yield processes
    finally:
        processes.stop_all()


def asman(
    *arguments: str,
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: str | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run one ``asman`` command, optionally through another command, and return its output and exit code."""
    return subprocess.run(  # noqa: S603
        [*before, *asman_command(), *arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=clean_environment(environment),
        cwd=folder,
        check=False,
    )
