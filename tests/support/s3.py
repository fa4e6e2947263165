"""A real S3 server for the tests: rclone's, on a free port, with a folder that goes away with it."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType

from asman_server.blobs import S3Settings
from devtools.patience import PATIENCE
from devtools.ports import free_port

KEY, SECRET = "asman-key", "asman-secret"
BUCKETS = 1000


class LocalS3(ABC):
    """One server; it may be killed and started again, and keeps its address and what was stored.

    Args:
        program: The program.
        package: What brings it, for the error.
    """

    patience = PATIENCE
    variables: Mapping[str, str] = MappingProxyType({})
    """Its environment beside that of the tests."""

    def __init__(self, program: str, package: str) -> None:
        found = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
        assert found is not None, f"{package} is not installed; make setup installs what is missing"
        self._program = found
        self._folder = Path(tempfile.mkdtemp(prefix=f"asman-{program}-", dir="/tmp"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address."""

    @abstractmethod
    def _arguments(self) -> list[str]:
        """What the program is started with."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it can be used."""

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
                [self._program, *self._arguments()],
                cwd=self._folder,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.patience
        while not self._answers():
            said = self._log.read_text(errors="replace")[-5000:]
            assert self.running, f"the S3 server ended\n{said}"
            assert time.monotonic() < deadline, f"the S3 server does not answer\n{said}"
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(self.patience)

    def settings(self, bucket: str, prefix: str = "some/prefix") -> S3Settings:
        return S3Settings(bucket, prefix, self.url, access_key=KEY, secret_key=SECRET, path_style=True)

    def remove(self) -> None:
        """Ends it and removes all it has."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class S3Server(LocalS3):
    """rclone's server. It holds the parts of multipart uploads in memory, so those are lost when it ends.

    Args:
        address: The address of this machine at which it listens.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__("rclone", "rclone")
        self._address = address
        self.port = free_port()
        for number in range(1, BUCKETS + 1):
            # Before it starts: for a while it does not see folders that are made behind its back.
            (self._data / f"bucket-{number}").mkdir(parents=True)

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self.port}"

    def _arguments(self) -> list[str]:
        return [
            *("serve", "s3", str(self._data), "--addr", f"{self._address}:{self.port}"),
            *("--auth-key", f"{KEY},{SECRET}"),
            *("--config", str(self._folder / "none"), "--vfs-cache-mode", "off", "--buffer-size", "1M"),
        ]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self._address, self.port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def new_bucket(self) -> str:
        """A new, empty bucket."""
        return f"bucket-{next(self._names)}"

    def files(self, bucket: str) -> list[str]:
        """The keys of all objects of a bucket."""
        folder = self._data / bucket
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())

    def read(self, bucket: str, key: str) -> bytes:
        """The bytes of an object."""
        return (self._data / bucket / key).read_bytes()


def s3_for_session() -> Iterator[S3Server]:
    """Yield a running server."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()
