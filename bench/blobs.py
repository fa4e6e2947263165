"""Blobs: a large file to a worker and another one back, through each store; what it costs in memory, and how fast."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asman_shared.units import MIB, format_size, parse_size
from bench.measure import Report
from devtools.asman_processes import asman_processes, clean_environment
from devtools.ports import free_port, wait_for_port

PEAK = "under 200 MiB"
KEY, SECRET = "bench-key", "bench-secret-key"
SECONDS = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--size", default="5GiB", help="bytes of the input and of the output, such as 64MiB")
    parser.add_argument("--store", choices=["folder", "s3"], action="append", help="only this store")


def run(wanted: argparse.Namespace) -> Report:
    """Measures all of it."""
    size = parse_size(wanted.size)
    report = Report("blobs")
    for store in wanted.store or ("folder", "s3"):
        with tempfile.TemporaryDirectory(prefix="asman-bench-") as name:
            _measure(report, store, size, Path(name))
    report.notes += [
        f"One file of {format_size(size)} in, another one of the same size out, on loopback and one disk. Client, hub,",
        "worker and store are processes of their own; the job is a process without a container.",
        "Peaks are the kernel's high-water marks of the resident set (VmHWM).",
        "Uploads include hashing the file first; worker phases are as the worker reports them.",
    ]
    return report


def _measure(report: Report, store: str, size: int, folder: Path) -> None:
    data, out = folder / "data", folder / "out"
    digest = _write(data, size)
    settings = _s3(folder) if store == "s3" else _nothing()
    with settings as (flags, environment), asman_processes(folder) as processes:
        hub = processes.hub(*flags, environment=environment)
        worker = processes.worker(
            hub.queue("blobs"), "--executor", "process", "--data-dir", str(folder / "worker"), "--name", "bench"
        )
        client = subprocess.run(
            [sys.executable, "-m", "bench.blobs_client", hub.queue("blobs"), str(data), str(out)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=clean_environment(),
        )
        if client.returncode:
            raise RuntimeError(f"the client failed:\n{client.stderr}\n{hub.tail()}\n{worker.tail()}")
        found: dict[str, Any] = json.loads(client.stdout)
        peaks = {"hub": _peak(hub.pid), "worker": _peak(worker.pid), "client": found["rss"]}
    if _sha256(out / "data") != digest:
        raise RuntimeError("what came back is not what the job made")
    for who, peak in peaks.items():
        report.add(f"{store}: peak memory of the {who}", "MiB", [peak / MIB], PEAK)
    for name, key in (
        ("client hashes and sends", "upload"),
        ("worker reads", "worker_staging"),
        ("worker hashes and sends", "worker_uploading"),
        ("client reads", "download"),
    ):
        report.add(f"{store}: {name}", "MiB/s", [size / MIB / max(found[key], 1e-3)])
    report.add(f"{store}: bytes that the client sent", "MiB", [found["bytes"] / MIB])
    report.add(f"{store}: bytes that it sent the second time", "bytes", [found["bytes_again"]], "0")
    report.add(f"{store}: the second time takes", "s", [found["upload_again"]])


def _write(path: Path, size: int) -> str:
    """Makes the file; returns the sha256 of what the job makes of it."""
    block = os.urandom(MIB)
    digest = hashlib.sha256()
    first = True
    with path.open("wb") as file:
        left = size
        while left:
            piece = block[: min(left, MIB)]
            file.write(piece)
            digest.update(piece[1:] if first else piece)
            first = False
            left -= len(piece)
    digest.update(b"x")
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _peak(pid: int) -> int:
    """Most bytes that a running process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no high-water mark")


Settings = tuple[list[str], Mapping[str, str]]


@contextmanager
def _nothing() -> Iterator[Settings]:
    """The hub's own folder needs nothing."""
    yield [], {}


@contextmanager
def _s3(folder: Path) -> Iterator[Settings]:
    """An S3 server over a folder, and what a hub is told about it."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        raise RuntimeError("there is no rclone here: `make setup` installs it; --store folder goes without")
    port = free_port()
    (folder / "s3" / "bench").mkdir(parents=True)
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    server = subprocess.Popen(
        [*command, str(folder / "s3")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment()
    )
    try:
        wait_for_port(port)
        yield (
            ["--blobs", "s3://bench/blobs", "--s3-endpoint", f"http://127.0.0.1:{port}"],
            {"ASMAN_S3_ACCESS_KEY": KEY, "ASMAN_S3_SECRET_KEY": SECRET},
        )
    finally:
        server.terminate()
        server.wait()
