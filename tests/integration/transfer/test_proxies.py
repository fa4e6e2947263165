"""What the environment says about proxies and certificates holds for every door of a client and a worker alike."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from devtools.asman_processes import AsmanProcesses, HubProcess, asman_command, asman_processes, clean_environment
from devtools.patience import PATIENCE
from devtools.ports import free_port
from tests.support.blob_hub import sha256
from tests.support.http_proxy import HttpProxy, http_proxy
from tests.support.tls_door import tls_door

QUEUE = "http://hub.test/q/proxies"
"""A queue whose hub only a proxy can find."""
BODY = os.urandom(200_000)


def without_proxies() -> dict[str, str]:
    """Returns an environment that names no proxy."""
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    return {name: value for name, value in clean_environment().items() if name.lower() not in names}


async def asman(*words: str, environment: Mapping[str, str], standard_input: bytes = b"") -> tuple[int, str, str]:
    """Runs a command; returns its exit code, what it wrote, and its errors."""

    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*asman_command(), *words],
            input=standard_input,
            capture_output=True,
            env={**without_proxies(), **environment},
            timeout=PATIENCE,
            check=False,
        )

    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[AsmanProcesses]:
    with asman_processes(tmp_path) as started:
        yield started


@pytest.fixture
async def hub(processes: AsmanProcesses) -> HubProcess:
    return await asyncio.to_thread(processes.hub)


@pytest.fixture
async def proxy(hub: HubProcess) -> AsyncIterator[HttpProxy]:
    async with http_proxy(hub.port) as running:
        yield running


async def test_job_files_questions_and_doctor_go_through_the_proxy(
    hub: HubProcess, proxy: HttpProxy, processes: AsmanProcesses, tmp_path: Path
) -> None:
    del hub
    environment = {"HTTP_PROXY": proxy.url}
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(BODY)
    worker = ("--executor", "process", "--data-dir", str(tmp_path / "w"))
    await asyncio.to_thread(lambda: processes.worker(QUEUE, *worker, environment=environment))
    command = ("--", "sh", "-c", 'cp "$JOB_INPUTS/sent" "$JOB_OUTPUTS/back"')
    code, _, said = await asman("run", QUEUE, "-f", str(sent), "-o", str(got), *command, environment=environment)
    assert code == 0, said
    assert (got / "back").read_bytes() == BODY
    code, told, said = await asman("job", "list", QUEUE, environment=environment)
    assert code == 0, said
    assert "Finished" in told or "success" in told.lower()
    code, told, said = await asman("blob", "put", QUEUE, str(sent), environment=environment)
    assert (code, told.strip()) == (0, sha256(BODY)), said
    code, told, said = await asman("doctor", QUEUE, *worker, environment=environment)
    assert "http://hub.test answers" in told + said
    ways = {method for method, target in proxy.asked if "hub.test" in target}
    assert {"CONNECT", "GET", "PUT"} <= ways, proxy.asked


@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy"])
async def test_each_way_of_naming_a_proxy_is_known(proxy: HttpProxy, variable: str) -> None:
    code, told, said = await asman("job", "list", QUEUE, environment={variable: proxy.url})
    assert code == 0, told + said
    code, told, said = await asman("blob", "put", QUEUE, __file__, environment={variable: proxy.url})
    assert code == 0, told + said


@pytest.mark.parametrize("door", [("job", "list", QUEUE), ("blob", "put", QUEUE, __file__)])
async def test_hosts_of_no_proxy_are_reached_directly(proxy: HttpProxy, door: tuple[str, ...]) -> None:
    code, _, said = await asman(*door, environment={"HTTP_PROXY": proxy.url, "NO_PROXY": ".test"})
    assert code != 0
    assert "there is no host named 'hub.test'" in said
    assert proxy.asked == []


@pytest.mark.parametrize("words", [("job", "list"), ("blob", "put")])
async def test_this_machine_is_never_reached_through_a_proxy(
    hub: HubProcess, proxy: HttpProxy, words: tuple[str, ...]
) -> None:
    files = [__file__] if words == ("blob", "put") else []
    code, _, said = await asman(*words, hub.queue("here"), *files, environment={"HTTP_PROXY": proxy.url})
    assert code == 0, said
    assert proxy.asked == []


async def test_a_login_in_the_address_of_the_proxy_is_sent(hub: HubProcess) -> None:
    async with http_proxy(hub.port, "someone:pass word") as proxy:
        with_login = proxy.url.replace("//", "//someone:pass%20word@")
        for door in (("job", "list", QUEUE), ("blob", "put", QUEUE, __file__)):
            code, _, said = await asman(*door, environment={"HTTP_PROXY": with_login})
            assert code == 0, said
            code, _, said = await asman(*door, environment={"HTTP_PROXY": proxy.url})
            assert code != 0
            assert "407" in said
            assert "proxy" in said
            assert "Traceback" not in said


async def test_what_is_wrong_with_a_proxy_is_said_at_every_door(hub: HubProcess, proxy: HttpProxy) -> None:
    del hub
    doors = [("job", "list", QUEUE), ("blob", "put", QUEUE, __file__), ("doctor", QUEUE, "--executor", "process")]
    proxy.status = 403
    for door in doors:
        code, told, said = await asman(*door, environment={"HTTP_PROXY": proxy.url})
        assert code != 0, door
        assert "HTTP status 403" in told + said
    nobody = f"127.0.0.1:{free_port()}"
    for address, sentence in (
        (proxy.url, f"the proxy 127.0.0.1:{proxy.port}"),
        (f"http://{nobody}", f"the proxy {nobody} can't be reached (nothing listens there)"),
        ("socks5://127.0.0.1:1080", "$HTTP_PROXY names a SOCKS proxy, which Asman can't use"),
        ("http://127.0.0.1:notaport", "$HTTP_PROXY is not the address of a proxy: write http://HOST:PORT"),
    ):
        for door in doors:
            code, told, said = await asman(*door, environment={"HTTP_PROXY": address})
            assert code != 0, door
            assert sentence in told + said, (door, told + said)
            assert "Traceback" not in said


async def test_a_worker_says_what_is_wrong_with_its_proxy(
    hub: HubProcess, proxy: HttpProxy, processes: AsmanProcesses, tmp_path: Path
) -> None:
    del hub
    proxy.status = 403
    words = ("--executor", "process", "--data-dir", str(tmp_path / "w"))
    environment = {"HTTP_PROXY": proxy.url}
    worker = await asyncio.to_thread(lambda: processes.worker(QUEUE, *words, environment=environment))
    await asyncio.to_thread(worker.wait_for_output, "does not let this connection through (HTTP status 403)", PATIENCE)
    assert "Traceback" not in worker.output()
    proxy.status = 0
    await asyncio.to_thread(worker.wait_for_output, "registered at", PATIENCE)


async def test_an_authority_of_ones_own_is_trusted_at_every_door_or_at_none(
    hub: HubProcess, processes: AsmanProcesses, tmp_path: Path
) -> None:
    (tmp_path / "tls").mkdir()
    async with tls_door(hub.port, tmp_path / "tls") as door:
        queue = f"https://localhost:{door.port}/q/private"
        words = ("--executor", "process", "--data-dir", str(tmp_path / "w"))
        doors = [("job", "list", queue), ("blob", "put", queue, __file__), ("doctor", queue, *words)]
        for each in doors:
            code, told, said = await asman(*each, environment={})
            assert code != 0, each
            assert "certificate" in told + said, (each, told + said)
            assert "Traceback" not in said
        knowing = {"SSL_CERT_FILE": str(door.authority)}
        worker = await asyncio.to_thread(lambda: processes.worker(queue, *words, environment=knowing))
        await asyncio.to_thread(worker.wait_for_output, "registered at", PATIENCE)
        for each in doors:
            code, told, said = await asman(*each, environment=knowing)
            assert "certificate" not in told + said, (each, told + said)
        sent = tmp_path / "sent"
        sent.write_bytes(BODY)
        command = ("--", "sh", "-c", 'cp "$JOB_INPUTS/sent" "$JOB_OUTPUTS/back"')
        code, _, said = await asman("run", queue, "-f", str(sent), "-o", str(tmp_path), *command, environment=knowing)
        assert code == 0, said
        assert (tmp_path / "back").read_bytes() == BODY
