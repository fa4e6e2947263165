"""The private servers that peers need: each on a free port, in a folder that goes away, ended by its own process."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Final

from bench.peers.environments import python_of
from devtools.asman_processes import HubProcess, clean_environment
from devtools.ports import free_port, wait_for_port
from devtools.postgres import PostgresServer, programs


class NotSetUp(Exception):
    """A peer can't be measured here; the sentence says why, and what to do."""


class Server:
    """One that runs.

    Attributes:
        address: What its clients and workers are told.
        pids: Its processes, without their children; a hub before the server of its database.
        version: For the report.
    """

    def __init__(self, address: str, pids: list[int], version: str, renew: Callable[[], str] | None = None) -> None:
        self.address = address
        self.pids = pids
        self.version = version
        self._renew = renew

    def renew(self) -> None:
        """Makes the next side begin with an empty queue, where that is cheap."""
        if self._renew is not None:
            self.address = self._renew()


class Servers:
    """Starts each kind of server once, when it is first wanted; a context that ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._running: dict[str, Server] = {}

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, kind: str) -> Server:
        """The server of one of `KINDS`.

        Raises:
            NotSetUp: Its program is not here.
        """
        if kind not in self._running:
            self._running[kind] = KINDS[kind](self._folder / kind, self._stack)
        return self._running[kind]


def _spawn(stack: ExitStack, folder: Path, command: list[str], port: int) -> int:
    """Starts a server and waits for its port; returns its process id."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            start_new_session=True,
        )
    stack.callback(_end, process)
    wait_for_port(port)
    return process.pid


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _hub(folder: Path, stack: ExitStack) -> Server:
    return _started_hub(folder, stack, [], [], f"SQLite {sqlite3.sqlite_version}")


def _hub_on_postgres(folder: Path, stack: ExitStack) -> Server:
    postgres, version = _synced_postgres(stack)
    return _started_hub(folder, stack, ["--database-url", postgres.new_database()], [postgres.pid], version)


def _started_hub(folder: Path, stack: ExitStack, options: list[str], pids: list[int], version: str) -> Server:
    folder.mkdir()
    hub = HubProcess(folder, *options)
    hub.start()
    stack.callback(hub.kill)
    names = (f"bench-{number}" for number in count())
    return Server("", [hub.pid, *pids], version, lambda: hub.queue(next(names)))


def _redis(*options: str) -> Callable[[Path, ExitStack], Server]:
    def start(folder: Path, stack: ExitStack) -> Server:
        program = shutil.which("redis-server")
        if program is None:
            raise NotSetUp("there is no redis-server here; scripts/peers.sh installs it")
        folder.mkdir()
        port = free_port()
        pid = _spawn(stack, folder, [program, "--port", str(port), "--bind", "127.0.0.1", *options], port)
        version = _first_line(program, "--version").split("v=")[1].split()[0]
        return Server("", [pid], f"Redis {version}", lambda: _flushed(port))

    return start


def _flushed(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        answer = connection.recv(100)
    if not answer.startswith(b"+OK"):
        raise RuntimeError(f"Redis did not forget its keys: {answer!r}")
    return f"redis://127.0.0.1:{port}/0"


def _nats(more: str) -> Callable[[Path, ExitStack], Server]:
    def start(folder: Path, stack: ExitStack) -> Server:
        program = python_of("jetstream").with_name("nats-server")
        if not program.exists():
            raise NotSetUp("there is no nats-server in its environment; scripts/peers.sh installs it")
        folder.mkdir()
        port = free_port()
        settings = folder / "settings"
        settings.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/data"{more} }}\n')
        pid = _spawn(stack, folder, [str(program), "-c", str(settings)], port)
        version = _first_line(str(program), "--version").split("v")[-1]
        return Server(f"nats://127.0.0.1:{port}", [pid], f"NATS {version}")

    return start


def _synced_postgres(stack: ExitStack) -> tuple[PostgresServer, str]:
    found = programs()
    if found is None:
        raise NotSetUp("Postgres is not installed here; make setup installs it")
    # What the tests switch off for speed is what is measured here.
    server = PostgresServer(found, settings=("fsync=on",))
    stack.callback(server.remove)
    server.start()
    return server, f"Postgres {_first_line(str(found / 'postgres'), '--version').split()[2]}"


def _postgres(options: str) -> Callable[[Path, ExitStack], Server]:
    def start(folder: Path, stack: ExitStack) -> Server:
        del folder
        python = python_of("procrastinate")
        if not python.exists():
            raise NotSetUp("it has no environment; scripts/peers.sh makes it")
        server, version = _synced_postgres(stack)
        address = server.new_database() + options
        prepare = [str(python), "-m", "bench.peers.procrastinate", "prepare", address]
        subprocess.run(prepare, check=True, capture_output=True, env=clean_environment(), cwd=ROOT)
        return Server(address, [server.pid], version)

    return start


ROOT: Final = Path(__file__).parents[2]
KINDS: Final[dict[str, Callable[[Path, ExitStack], Server]]] = {
    "hub": _hub,
    "hub, postgres": _hub_on_postgres,
    "redis, synced": _redis("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    "redis": _redis(),
    "nats, synced": _nats(", sync_interval: always"),
    "nats": _nats(""),
    "postgres, synced": _postgres(""),
    "postgres": _postgres("?options=-csynchronous_commit%3Doff"),
}
