"""A container engine of one test's own, which it may stop, kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from devtools import docker_api
from devtools.os_processes import mentioning

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class OwnEngine:
    """One ``dockerd`` with folders of its own and no network.

    Attributes:
        host: For ``DOCKER_HOST``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; returns when it answers."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [
                "dockerd", f"--host={self.host}", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec",
                f"--pidfile={self.folder}/pid", "--bridge=none", "--iptables=false", "--log-level=warn",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "PATH": _PATH},
            start_new_session=True,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + 60
        while not docker_api.answers(self.host, timeout=2):
            last = (self.folder / "log").read_text()[-2000:]
            assert self._process.poll() is None, last
            assert time.monotonic() < deadline, last
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it with a signal; returns when it has ended."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None
        # Its helper goes with it only when it ended by itself; containers live on, as after a crash.
        for left in mentioning(self.folder / "exec"):
            with suppress(OSError):
                if b"--config" in Path(f"/proc/{left.pid}/cmdline").read_bytes().split(b"\0"):
                    left.stop(5)

    def restart(self, number: int = signal.SIGTERM) -> None:
        """Ends it and starts it again."""
        self.stop(number)
        # Where nobody reaps orphans, the helper's id would still look alive.
        for pid in ("pid", "exec/containerd/containerd.pid"):
            (self.folder / pid).unlink(missing_ok=True)
        self.start()


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """An engine that ends with the block, with all that it started."""
    folder = Path(tempfile.mkdtemp(prefix="asman-own-", dir="/tmp"))
    engine = OwnEngine(folder)
    try:
        engine.start()
        yield engine
    finally:
        docker_api.kill_containers(engine.host)
        engine.stop()
        for left in mentioning(folder / "exec"):
            left.stop(5)
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in sorted((point for point in points if point.startswith(f"{folder}/")), key=len, reverse=True):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
