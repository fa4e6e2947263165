"""Tries out all that the hub needs of a bucket, with small objects that are removed again."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import ClientError
from msgspec import Struct

from asman_shared.errors import AsmanError, Misconfigured, Unavailable

from .s3_errors import UNREACHABLE, Storage, meaning

BODY: Final = b"asman tries out its storage"
TRIAL: Final = "incoming/trial-"
"""Beginning of the keys of a trial below the prefix; old ones are collected like other remains."""


class Tried(Struct, frozen=True):
    """The outcome of one step of a trial.

    Attributes:
        what: The step.
        error: The reason why it failed; None if it worked.
    """

    what: str
    error: AsmanError | None = None

    @property
    def permanent(self) -> bool:
        """Whether trying the same again can't help."""
        return self.error is not None and not self.error.retry

    @property
    def sentence(self) -> str:
        """The reason why it failed, with the step; empty if it worked."""
        return f"{self.error.message} (trying out: {self.what})" if self.error is not None else ""


class Trial:
    """One trial of a bucket.

    Args:
        client: The client of the storage.
        storage: Turns its errors into `AsmanError`.
        bucket: The bucket.
        key: Returns the whole key for a name below the prefix.
    """

    def __init__(self, client: Any, storage: Storage, bucket: str, key: Callable[[str], str]) -> None:
        self._client = client
        self._storage = storage
        self._bucket = bucket
        self._prefix = key("")
        name = TRIAL + secrets.token_hex(8)
        self._object = {"Bucket": bucket, "Key": key(name)}
        self._copy = {"Bucket": bucket, "Key": key(name + "-copy")}
        self._parts = {"Bucket": bucket, "Key": key(name + "-parts")}

    async def run(self) -> AsyncIterator[Tried]:
        """Tries the steps in turn; a step that fails for now, or has no bucket, ends the trial."""
        steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("bucket", self._look),
            ("put", self._put),
            ("get", self._get),
            ("range", self._range),
            ("checksum", self._announced),
            ("copy", self._copied),
            ("list", self._list),
            ("multipart", self._multipart),
            ("delete", self._delete),
        )
        for what, step in steps:
            try:
                with self._storage.asking():
                    await step()
            except (KeyError, TypeError, ValueError) as error:
                reason = f"its answer makes no sense ({type(error).__name__}: {error})"
                yield Tried(what, Misconfigured(f"the storage for blobs does not do what S3 does: {reason}"))
            except AsmanError as error:
                yield Tried(what, error)
                if error.retry or what == "bucket":
                    return
            else:
                yield Tried(what)

    async def _look(self) -> None:
        await self._client.head_bucket(Bucket=self._bucket)

    async def _put(self) -> None:
        await self._client.put_object(**self._object, Body=BODY)

    async def _get(self) -> None:
        _need((await self._read(self._object)) == BODY, "other bytes are read than were written")

    async def _range(self) -> None:
        answer = await self._client.get_object(**self._object, Range="bytes=1-5")
        async with answer["Body"] as body:
            _need(await body.read() == BODY[1:6], "a range is not answered with its bytes")

    async def _announced(self) -> None:
        await self._client.put_object(**self._object, Body=BODY, ChecksumSHA256=checksum(BODY))

    async def _copied(self) -> None:
        await self._client.copy_object(**self._copy, CopySource=self._object)
        _need((await self._read(self._copy)) == BODY, "a copy has other bytes")

    async def _list(self) -> None:
        page = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._object["Key"])
        found = [entry["Key"] for entry in page.get("Contents", ())]
        _need(self._object["Key"] in found, "an object is not listed")

    async def _multipart(self) -> None:
        upload = (await self._client.create_multipart_upload(**self._parts))["UploadId"]
        try:
            sent = await self._client.upload_part(**self._parts, UploadId=upload, PartNumber=1, Body=BODY)
            page = await self._client.list_parts(**self._parts, UploadId=upload)
            found = [(part["PartNumber"], part["Size"]) for part in page.get("Parts", ())]
            _need(found == [(1, len(BODY))], "a part that was sent is not listed")
            listed = [{"PartNumber": 1, "ETag": sent["ETag"]}]
            await self._client.complete_multipart_upload(
                **self._parts, UploadId=upload, MultipartUpload={"Parts": listed}
            )
        except BaseException:
            with suppress(ClientError, *UNREACHABLE):
                await self._client.abort_multipart_upload(**self._parts, UploadId=upload)
            raise
        _need((await self._read(self._parts)) == BODY, "the parts together have other bytes")

    async def _delete(self) -> None:
        for at in (self._object, self._copy, self._parts):
            await self._client.delete_object(**at)

    async def _read(self, at: dict[str, str]) -> bytes:
        answer = await self._client.get_object(**at)
        async with answer["Body"] as body:
            return bytes(await body.read())


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Misconfigured(f"the storage for blobs does not do what S3 does: {otherwise}")


async def verifies_sha256(client: Any, bucket: str, key: Callable[[str], str]) -> bool:
    """Returns whether a storage takes bytes with the announced sha256, and refuses others, in whatever words.

    Raises:
        Unavailable: The storage can't be asked now.
    """
    at = {"Bucket": bucket, "Key": key(TRIAL + secrets.token_hex(8))}
    try:
        await client.put_object(**at, Body=BODY, ChecksumSHA256=checksum(BODY))
        try:
            await client.put_object(**at, Body=BODY, ChecksumSHA256=checksum(b"other"))
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return status in (400, 412, 422)
        return False
    except ClientError as error:
        if isinstance(meaning(error), Misconfigured):
            return False
        raise Unavailable(f"the storage for blobs can't be tried out now ({error}); try again") from error
    except UNREACHABLE as error:
        raise Unavailable(f"the storage for blobs can't be tried out now ({error}); try again") from error
    finally:
        with suppress(ClientError, *UNREACHABLE):
            await client.delete_object(**at)


def checksum(body: bytes) -> str:
    """Returns the header's text for the sha256 of some bytes."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
