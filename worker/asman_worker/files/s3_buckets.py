"""S3 buckets that the operator lets jobs read and write; the credentials stay in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final

from asman_shared import limits
from asman_shared.errors import BadDefinition, BadRequest, ExecutionError
from asman_shared.places.urls import BUCKET, FOLDERS, WRITABLE, bucket_tags, place_of
from asman_shared.units import MIB, format_size

PART: Final = 32 * MIB
"""Least size of the parts of a large object, in bytes; a smaller object is sent in one piece."""
PARTS: Final = 10_000
"""Most parts of an object; as S3 has it."""
CONNECTIONS: Final = 16
"""Largest number of connections to the storage."""
TRIES: Final = 3
"""Number of times that an object is read, if its bytes stop on the way."""


class S3Buckets:
    """The buckets that the operator lets jobs use.

    Args:
        buckets: Whether jobs may write, by the name of each bucket.
        endpoint: URL of the service; empty for AWS's own (or the one in AWS's environment variables).
        region: The region.
        access_key: The access key; empty, like ``secret_key``, to use AWS's own chain (variables, profile, role).
        secret_key: The secret key.
    """

    def __init__(
        self,
        buckets: Mapping[str, bool],
        *,
        endpoint: str = "",
        region: str = "us-east-1",
        access_key: str = "",
        secret_key: str = "",
    ) -> None:
        self._buckets = dict(buckets)
        self._endpoint = endpoint
        self._region = region
        self._access_key = access_key
        self._secret_key = secret_key
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._connecting = asyncio.Lock()

    @staticmethod
    def named(options: Sequence[str]) -> dict[str, bool]:
        """Reads the operator's options, ``BUCKET`` or ``BUCKET:rw``.

        Raises:
            BadRequest: One is not the name of a bucket.
        """
        if len(options) > FOLDERS:
            raise BadRequest(f"a worker has at most {FOLDERS} buckets", field="s3_bucket")
        found: dict[str, bool] = {}
        for option in options:
            name = option.removesuffix(WRITABLE)
            if BUCKET.fullmatch(name) is None or name in found:
                raise BadRequest(f"'{name[:80]}' is not the name of a bucket, or is given twice", field="s3_bucket")
            found[name] = option.endswith(WRITABLE)
        return found

    @property
    def tags(self) -> list[str]:
        """The tags by which jobs find this worker."""
        return [tag for name, writable in self._buckets.items() for tag in bucket_tags(name, writable=writable)]

    def check(self, bucket: str, *, writing: bool = False) -> None:
        """Refuses a bucket that jobs may not use so.

        Raises:
            ExecutionError: They may not; the error names the option of the worker.
        """
        if bucket not in self._buckets or (writing and not self._buckets[bucket]):
            what = "write to" if writing else "read"
            option = f"--s3-bucket {bucket}{WRITABLE if writing else ''}"
            raise ExecutionError(f"this worker lets no job {what} the bucket '{bucket}': see its option {option}")

    async def close(self) -> None:
        """Ends the connections."""
        await self._stack.aclose()

    async def copy_object(self, bucket: str, key: str, to: Path, most: int) -> None:
        """Copies an object to a new file.

        Raises:
            ExecutionError: It can't be read, or has more than ``most`` bytes.
        """
        self.check(bucket)
        await self._copy(bucket, key, to, most)

    async def copy_folder(self, bucket: str, prefix: str, to: Path, most: int) -> None:
        """Copies all objects whose keys begin with a prefix and a slash into an existing folder.

        Raises:
            ExecutionError: They can't be read, are too many, or have more than ``most`` bytes together.
        """
        self.check(bucket)
        start = f"{prefix}/" if prefix else ""
        left, count = most, 0
        async for key in self._keys(bucket, start):
            count += 1
            if count > limits.INPUTS:
                raise ExecutionError(f"s3://{bucket}/{start} has more than {limits.INPUTS} objects: pack them")
            name = key.removeprefix(start)
            try:
                place_of(f"s3://{bucket}/{name}", "inputs")
            except BadDefinition:
                raise ExecutionError(f"the key '{key[:200]}' can't be the name of a file") from None
            try:
                _make_parents(to, name)
                left -= await self._copy(bucket, key, to / name, left)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                raise ExecutionError(f"s3://{bucket}/{key[:200]} is a file and a folder of others, too") from None
        if not count:
            raise ExecutionError(f"there are no objects below s3://{bucket}/{start}")

    async def write(self, bucket: str, key: str, file: IO[bytes], size: int) -> None:
        """Writes an object, whole or not at all.

        Raises:
            ExecutionError: It can't be written.
        """
        self.check(bucket, writing=True)
        async with self._asking(bucket, key) as client:
            if size <= PART:
                body = await asyncio.to_thread(file.read)
                await client.put_object(Bucket=bucket, Key=key, Body=body)
            else:
                await _write_parts(client, bucket, key, file, size)

    async def _copy(self, bucket: str, key: str, to: Path, most: int) -> int:
        for tries_left in reversed(range(TRIES)):
            try:
                async with self._asking(bucket, key) as client:
                    answer = await client.get_object(Bucket=bucket, Key=key)
                    size = int(answer["ContentLength"])
                    if size > most:
                        raise ExecutionError(
                            f"s3://{bucket}/{key} has {format_size(size)}, more than this worker copies"
                        )
                    async with answer["Body"] as body:
                        await _save(body, to)
                    return size
            except _Broken:
                await asyncio.to_thread(to.unlink, missing_ok=True)
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _keys(self, bucket: str, start: str) -> AsyncIterator[str]:
        after: dict[str, str] = {}
        while True:
            async with self._asking(bucket, start) as client:
                page = await client.list_objects_v2(Bucket=bucket, Prefix=start, **after)
            for each in page.get("Contents", ()):
                if not each["Key"].endswith("/"):
                    yield str(each["Key"])
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                # Imported here: it takes long, and most workers have no bucket.
                from asman_shared.transfer.s3_client import s3_client

                self._client = await self._stack.enter_async_context(
                    s3_client(
                        self._endpoint,
                        region=self._region,
                        access_key=self._access_key,
                        secret_key=self._secret_key,
                        addressing="path" if self._endpoint else "auto",
                        connections=CONNECTIONS,
                    )
                )
            return self._client

    @asynccontextmanager
    async def _asking(self, bucket: str, key: str) -> AsyncIterator[Any]:
        """Makes sentences of the errors of the storage; they have nothing of the credentials."""
        client = await self._connected()
        from aiohttp import ClientError as HttpError
        from botocore.exceptions import BotoCoreError, ClientError

        where = f"s3://{bucket}/{key}"[:300]
        try:
            yield client
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "")) or "an error"
            if code in ("NoSuchKey", "NoSuchBucket", "404"):
                raise ExecutionError(f"there is no {where}") from None
            theirs = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500
            raise ExecutionError(f"the storage refuses {where}: {code}", fault="worker" if theirs else "job") from None
        except BotoCoreError as error:
            raise ExecutionError(
                f"the storage of {where} can't be used now: {type(error).__name__}", fault="worker"
            ) from None
        except (HttpError, TimeoutError) as error:
            raise _Broken(
                f"the storage of {where} stopped on the way: {type(error).__name__}", fault="worker"
            ) from None


class _Broken(ExecutionError):
    """The bytes of an object stopped on the way."""


def _make_parents(root: Path, name: str) -> None:
    folder = root
    for part in name.split("/")[:-1]:
        folder = folder / part
        if not folder.exists():
            folder.mkdir()
            folder.chmod(root.stat().st_mode & 0o777)


async def _save(body: Any, to: Path) -> None:
    with to.open("xb") as out:
        while data := await body.read(MIB):
            await asyncio.to_thread(out.write, data)


async def _write_parts(client: Any, bucket: str, key: str, file: IO[bytes], size: int) -> None:
    part = max(PART, -(-size // PARTS))
    upload = (await client.create_multipart_upload(Bucket=bucket, Key=key))["UploadId"]
    named = {"Bucket": bucket, "Key": key, "UploadId": upload}
    try:
        parts: list[dict[str, Any]] = []
        while data := await asyncio.to_thread(file.read, part):
            number = len(parts) + 1
            made = await client.upload_part(**named, PartNumber=number, Body=data)
            parts.append({"PartNumber": number, "ETag": made["ETag"]})
        await client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    except BaseException:
        with contextlib.suppress(Exception):
            await client.abort_multipart_upload(**named)
        raise
