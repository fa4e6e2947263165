"""Fixtures for tests of real parts. Nothing here is started unless a test asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest

from build_tools import compiled
from devtools import asman_processes as processes_module
from devtools import base_image
from devtools.asman_processes import AsmanProcesses, HubProcess, asman_processes
from devtools.browser import TestBrowser, launched_browser
from devtools.engine import Engine
from devtools.fork_server import ForkServer
from devtools.postgres import PostgresServer
from tests.support.engine import engine_for_session
from tests.support.images import BUSYBOX, ensure_busybox
from tests.support.postgres import postgres_for_session
from tests.support.python_image import ensure_python
from tests.support.s3 import S3Server, s3_for_session
from tests.support.weed import WeedServer, weed_for_session

if compiled.state() == "stale":
    pytest.exit("what was compiled is older than its sources: make compile, or make pure", returncode=3)

_PROCESSES = pytest.StashKey[AsmanProcesses]()


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[ForkServer]:
    """Forks the hubs and workers of all tests from one process that has imported them."""
    processes_module.fork_server = server = ForkServer()
    yield server
    processes_module.fork_server = None
    server.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine; ``DOCKER_HOST`` names it."""
    yield from engine_for_session()


@pytest.fixture(scope="session")
def busybox_image(engine: Engine) -> str:
    """The name of an image with a shell and the usual small programs, already in the engine."""
    return ensure_busybox(engine)


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same image in a file, as ``docker save`` writes it, for workers without an engine."""
    path = tmp_path_factory.mktemp("images") / "busybox.tar"
    base_image.save(path, BUSYBOX)
    return path


@pytest.fixture(scope="session")
def python_image(engine: Engine) -> str:
    """The name of an image with this machine's Python and a shell, already in the engine."""
    return ensure_python(engine)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres server; see `postgres` for tests that end it."""
    yield from postgres_for_session()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server, which runs when the test begins; a test may stop, kill or freeze it."""
    postgres_server.start()
    yield postgres_server
    postgres_server.thaw()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server; see `s3` for tests that end it."""
    yield from s3_for_session()


@pytest.fixture
def s3(s3_server: S3Server) -> S3Server:
    """The server, which runs when the test begins; a test may kill it."""
    s3_server.start()
    return s3_server


@pytest.fixture(scope="session")
def weed_server() -> Iterator[WeedServer]:
    """An S3 server of another kind; see `weed` for tests that end it."""
    yield from weed_for_session()


@pytest.fixture
def weed(weed_server: WeedServer) -> WeedServer:
    """The server of another kind, which runs when the test begins; a test may kill it."""
    weed_server.start()
    return weed_server


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[AsmanProcesses]:
    """Starts real ``asman`` processes for this test; what they printed is shown when it fails."""
    with asman_processes(tmp_path) as started:
        request.node.stash[_PROCESSES] = started
        yield started


@pytest.fixture
def hub_process(processes: AsmanProcesses) -> Callable[..., HubProcess]:
    """Start a hub on a free port: ``hub_process("--flag", command="up")``; see ``AsmanProcesses.hub``."""
    return processes.hub


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of one MiB; mounting it takes root, as starting an engine does."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def browser() -> AsyncIterator[TestBrowser]:
    """A headless Chromium."""
    async with launched_browser() as launched:
        yield launched


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of a failed test's processes to its report."""
    del call
    report = yield
    started = item.stash.get(_PROCESSES, None)
    if report.failed and started is not None:
        report.sections.extend(started.report())
    return report
