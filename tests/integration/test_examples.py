"""The scripted clients in ``examples/`` do what they say, on a real hub with a real worker."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asman_shared.version import __version__
from devtools.asman_processes import HubProcess, asman, clean_environment
from tests.support.node import run_node

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "json-dialect"
NATIVE = EXAMPLES / "scripted-client" / "client.py"


def javascript(hub: str, queue: str) -> subprocess.CompletedProcess[str]:
    return run_node(FOLDER / "client.mjs", hub, queue, seconds=90)


def python(hub: str, queue: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "client.py"), hub, queue]
    environment = clean_environment()
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=False)


@pytest.mark.parametrize(("client", "words"), [(javascript, "3"), (python, "2")])
def test_a_scripted_client_submits_follows_reads_and_cancels(
    hub_process: Callable[..., HubProcess],
    client: Callable[[str, str], subprocess.CompletedProcess[str]],
    words: str,
) -> None:
    up = hub_process("--executor", "process", "--queue", "scripted", "--local-port", "0", command="up")
    for told in ("log: counting\n", ""):
        ran = client(up.url, "scripted")
        assert ran.returncode == 0, ran.stderr
        # Frames that arrive together are read before the task that waits for the first of them continues.
        submitted = rf"(submitted [0-9a-f]{{64}}\n{told}|{told}submitted [0-9a-f]{{64}}\n)"
        assert re.fullmatch(
            rf"{submitted}"
            rf"finished: Success, exit code 0\noutput words\.txt: {words}\ncancelled [0-9a-f]{{64}}\n",
            ran.stdout,
        ), ran.stdout
    listed = json.loads(asman("job", "list", up.queue("scripted"), "--json").stdout)
    reasons = sorted(job["verdict"]["reason"] for job in listed)
    assert reasons == ["Cancelled", "Cancelled", "Success"], "the second time the result was there"


def test_the_client_in_plain_msgpack_submits_follows_the_log_and_prints_the_outcome(
    hub_process: Callable[..., HubProcess],
) -> None:
    up = hub_process("--executor", "process", "--queue", "scripted", "--local-port", "0", command="up")
    command = [sys.executable, str(NATIVE), up.queue("scripted")]
    for answer in ("queued", "cached"):
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=90, env=clean_environment(), cwd=up.data, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert re.fullmatch(
            rf"hub {re.escape(__version__)}\n{answer} [0-9a-f]{{64}}\ncounting\n"
            r"finished: Success, exit code 0\noutputs: words\.txt\n",
            ran.stdout,
        ), ran.stdout


def native(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(NATIVE), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=clean_environment(), check=False)


def test_the_client_in_plain_msgpack_says_how_to_call_it_and_that_a_hub_is_away() -> None:
    bare = native()
    assert (bare.returncode, bare.stderr) == (2, "usage: python client.py http://localhost:8000/q/my-queue\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}/q/away", "no-address"):
        away = native(address)
        assert (away.returncode, away.stdout) == (1, "")
        assert re.fullmatch(r"error: no hub answers at this address, or no worker in time: .+\n", away.stderr), (
            away.stderr
        )


NOWHERE = '{"type": "url", "value": "http://127.0.0.1:9/a"}'


def test_the_client_in_plain_msgpack_prints_why_a_job_did_not_succeed(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    up = hub_process("--executor", "process", "--queue", "scripted", "--local-port", "0", command="up")
    failing = tmp_path / "client.py"
    failing.write_text(NATIVE.read_text().replace('{"value": "one two three four"}', NOWHERE))
    command = [sys.executable, str(failing), up.queue("scripted")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, env=clean_environment(), check=False)
    assert ran.returncode == 1, ran.stderr
    assert "finished: Error, exit code None\n" in ran.stdout
    assert "127.0.0.1" in ran.stdout.partition("exit code None\n")[2]


def test_the_client_in_plain_msgpack_needs_nothing_of_asmans() -> None:
    imported = re.findall(r"^(?:import|from) (\w+)", NATIVE.read_text(), re.MULTILINE)
    assert set(imported) - sys.stdlib_module_names == {"msgpack", "websockets"}


def test_the_scripted_clients_are_short() -> None:
    for name in ("client.mjs", "client.py"):
        assert len((FOLDER / name).read_text().splitlines()) < 100
    assert len(NATIVE.read_text().splitlines()) < 80
