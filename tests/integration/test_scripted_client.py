"""A script of another service follows jobs that a real worker runs in real containers, and sees all that they wrote."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asman_shared import limits
from devtools.asman_processes import AsmanProcesses, HubProcess, clean_environment
from devtools.engine import Engine

SCRIPT = Path(__file__).parents[1] / "support" / "scripted_client.py"
LONG = 2 * limits.LOG_LINE_BYTES + 5
"""Bytes of a line that is cut twice."""
WRITES = f"""
printf 'par'; sleep 0.3; printf 'tial\\n'
printf '10 %%\\r'; sleep 0.3; printf '20 %%\\r100 %%\\r\\n'
printf '\\n\\303\\266 and a tab\\t.\\n'
head -c {LONG} /dev/zero | tr '\\0' x; printf '\\n'
head -c {LONG} /dev/zero | tr '\\0' y; printf '\\r'
head -c {limits.LOG_LINE_BYTES} /dev/zero | tr '\\0' z
printf 'an error' >&2
"""
WROTE = "partial\n10 %\r20 %\r100 %\r\n\nö and a tab\t.\n" + "".join(
    ("x" * LONG, "\n", "y" * LONG, "\r", "z" * limits.LOG_LINE_BYTES)
)


def run_script(hub: HubProcess, queue: str, folder: Path, definitions: dict[str, Any]) -> dict[str, list[Any]]:
    """Follows jobs with the script; returns how each ended."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), hub.url, queue, str(folder)],
        input=json.dumps(definitions),
        capture_output=True,
        text=True,
        timeout=240,
        env=clean_environment(),
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return {name: ended for name, *ended in map(json.loads, ran.stdout.splitlines())}


@pytest.fixture
async def working_hub(processes: AsmanProcesses, engine: Engine, busybox_image: str, tmp_path: Path) -> HubProcess:
    """A hub with a worker that runs containers."""
    hub = await asyncio.to_thread(processes.hub)
    own = ["--data-dir", str(tmp_path / "worker"), "--local-images", busybox_image]
    processes.worker(hub.queue("scripted"), *own, environment={"DOCKER_HOST": engine.host})
    return hub


async def test_it_prints_the_log_of_each_job_byte_for_byte(
    working_hub: HubProcess, busybox_image: str, tmp_path: Path
) -> None:
    definitions = {
        "success": {"image": busybox_image, "command": ["sh", "-c", WRITES]},
        "exit-3": {"image": busybox_image, "command": ["sh", "-c", "echo out; printf err >&2; exit 3"]},
        "missing": {"image": "nobody/nothing:1", "command": "true"},
    }
    ended = await asyncio.to_thread(run_script, working_hub, "scripted", tmp_path, definitions)
    assert ended == {"success": ["Success", 0], "exit-3": ["Success", 3], "missing": ["Error", None]}
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in (".out", ".err")}
    missing = written.pop("missing.err").decode()
    assert "nobody/nothing:1" in missing
    assert "could not be pulled" in missing
    assert missing.endswith("\n")
    assert written == {
        "success.out": WROTE.encode(),
        "success.err": b"an error",
        "exit-3.out": b"out\n",
        "exit-3.err": b"err",
        "missing.out": b"",
    }


async def test_it_prints_why_each_other_job_did_not_begin(
    working_hub: HubProcess, busybox_image: str, tmp_path: Path
) -> None:
    absent = {"type": "url", "value": f"{working_hub.url}/f/never-uploaded"}
    definitions = {
        "input": {"image": busybox_image, "command": "true", "inputs": {"a.txt": absent}},
        "refused": {"image": busybox_image, "inputs": {"a.txt": {"type": "key", "value": "never uploaded"}}},
        "build": {"build": {"dockerfile": f"FROM {busybox_image}\nRUN exit 7\n"}, "command": "true"},
    }
    ended = await asyncio.to_thread(run_script, working_hub, "scripted", tmp_path, definitions)
    assert ended == {name: ["Error", None] for name in definitions}
    written = {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix in (".out", ".err")}
    assert "a.txt" in written["input.err"]
    assert "there is no file 'never uploaded'" in written["refused.err"]
    assert "exit 7" in written["build.err"]
    assert {name: text for name, text in written.items() if name.endswith(".out")} == {
        f"{name}.out": "" for name in definitions
    }
