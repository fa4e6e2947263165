"""Named bytes in a bucket of S3; see `objects.Objects`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from asman_shared.units import MIB

from ..blobs.s3_client import s3_client
from ..blobs.s3_errors import Storage
from ..blobs.s3_settings import S3Settings
from ..blobs.store import CHUNK
from .objects import PAGE, Found

PART_BYTES: Final = 32 * MIB
"""Size of the parts of a large object, in bytes; S3 takes 10,000, so an object may have about 300 GiB."""


class S3Objects:
    """Objects in a bucket; see `objects.Objects`.

    Args:
        settings: The bucket and the access to it.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._storage = Storage()
        self._client: Any = None

    @property
    def said(self) -> str:
        """The address of the bucket."""
        return f"s3://{self._settings.bucket}/{self._settings.prefix}".rstrip("/")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Opens the connections.

        Raises:
            Misconfigured: The bucket does not exist, or the keys do not open it.
            Unavailable: The storage can't be reached.
        """
        async with s3_client(self._settings, self._settings.endpoint) as self._client:
            with self._storage.asking():
                await self._client.head_bucket(Bucket=self._settings.bucket)
            yield

    def _key(self, name: str) -> str:
        return f"{self._settings.prefix}/{name}" if self._settings.prefix else name

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": self._key(name)}

    async def list(self, start: str = "") -> AsyncIterator[list[Found]]:
        """All objects whose keys begin so."""
        prefix, own = self._key(start), self._key("")
        more: dict[str, Any] = {}
        while True:
            with self._storage.asking():
                page = await self._client.list_objects_v2(
                    Bucket=self._settings.bucket, Prefix=prefix, MaxKeys=PAGE, **more
                )
            yield [Found(each["Key"].removeprefix(own), int(each["Size"])) for each in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """The bytes of an object."""
        with self._storage.asking():
            answer = await self._client.get_object(**self._at(name))
            async with answer["Body"] as body:
                async for piece in body.iter_chunks(CHUNK):
                    yield piece

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Sends an object, in parts if it is large: S3 shows it once all of it has come."""
        parts = _parts(pieces)
        first = await anext(parts, b"")
        if len(first) < PART_BYTES:
            # Ends the pieces, which raise an error here if they are not what they must be.
            async for _ in parts:
                raise AssertionError("only the last part is shorter")
            with self._storage.asking():
                await self._client.put_object(**self._at(name), Body=first, ContentLength=len(first))
            return
        with self._storage.asking():
            made = await self._client.create_multipart_upload(**self._at(name))
        upload = {**self._at(name), "UploadId": made["UploadId"]}
        done = False
        try:
            sent = [await self._send(upload, 1, first)]
            async for part in parts:
                sent.append(await self._send(upload, len(sent) + 1, part))
            with self._storage.asking():
                await self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
            done = True
        finally:
            if not done:
                with self._storage.asking():
                    await self._client.abort_multipart_upload(**upload)

    async def _send(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        with self._storage.asking():
            answer = await self._client.upload_part(**upload, PartNumber=number, Body=part, ContentLength=len(part))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def remove(self, name: str) -> None:
        """Removes an object."""
        with self._storage.asking():
            await self._client.delete_object(**self._at(name))


async def _parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Joins pieces to parts of `PART_BYTES`; the last may be shorter."""
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        while len(waiting) >= PART_BYTES:
            yield bytes(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
    if waiting:
        yield bytes(waiting)
