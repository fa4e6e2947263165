"""A real S3 server for the tests: rclone's, on a free port, with a folder that goes away with it."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from asman_server.blobs import S3Settings
from devtools.ports import free_port

KEY, SECRET = "asman-key", "asman-secret"
PATIENCE = 30.0
BUCKETS = 1000


class S3Server:
    """One server; it may be killed and started again, and keeps its port and what was stored.

    It holds the parts of multipart uploads in memory, so those are lost when it ends.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
        assert self._program is not None, "rclone is not installed; make setup installs what is missing"
        self._folder = Path(tempfile.mkdtemp(prefix="asman-s3-", dir="/tmp"))
        self._data = self._folder / "data"
        for number in range(1, BUCKETS + 1):
            # Before it starts: for a while it does not see folders that are made behind its back.
            (self._data / f"bucket-{number}").mkdir(parents=True)
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a hub must be told of it."""
        return {"ASMAN_S3_ENDPOINT": self.url, "ASMAN_S3_ACCESS_KEY": KEY, "ASMAN_S3_SECRET_KEY": SECRET}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, unless it runs; returns when it answers."""
        if self.running:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._program), "serve", "s3", str(self._data)),
                    *("--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}"),
                    *("--config", str(self._folder / "none"), "--vfs-cache-mode", "off", "--buffer-size", "1M"),
                ],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.running, f"the S3 server ended\n{self._log.read_text(errors='replace')}"
            assert time.monotonic() < deadline, (
                f"the S3 server does not answer\n{self._log.read_text(errors='replace')}"
            )
            time.sleep(0.02)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def new_bucket(self) -> str:
        """A new, empty bucket."""
        return f"bucket-{next(self._names)}"

    def files(self, bucket: str) -> list[str]:
        """The keys of all objects of a bucket."""
        folder = self._data / bucket
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())

    def settings(self, bucket: str, prefix: str = "some/prefix") -> S3Settings:
        return S3Settings(bucket, prefix, self.url, access_key=KEY, secret_key=SECRET, path_style=True)

    def remove(self) -> None:
        """Ends it and removes all it has."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def s3_for_session() -> Iterator[S3Server]:
    """Yield a running server."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()
