"""Blobs in any S3, sent and read at presigned addresses, so that their bytes do not pass the hub.

A blob in one piece goes to a staging key (``incoming/``), because its address can be used again for other bytes. The
hub copies it to a key that has no address for writing, and verifies the copy. A larger blob is an S3 multipart upload
to its own key, which can't be changed once it is completed.

To verify a blob, the hub reads the object once, in pieces. It skips that if the storage reports the sha256 and was seen
to refuse other bytes than announced: some storages repeat any announced sha256 (see `S3Store._vouches`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from asman_shared import limits
from asman_shared.errors import AsmanError, NotFound, Unauthentic, Unavailable
from asman_shared.messages import BlobPart, BlobTicket

from ..clock import Clock
from ..storage.blob_changes import BlobRow, UploadRow
from .multipart import part_count, part_size
from .s3_settings import S3Settings
from .store import CHUNK, TICKET_SECONDS, Stray, new_place, sha256_of

log = logging.getLogger("asman.hub.blobs")

TIMEOUT_SECONDS: Final = 60
"""Time limit for a response of the storage, in seconds."""
CONNECTIONS: Final = 32
"""Largest number of connections to the storage."""
PAGE: Final = 500
"""Objects or parts that one request lists."""
_GONE: Final = frozenset({"NoSuchKey", "NoSuchUpload", "404", "NotFound"})


class S3Store:
    """Stores blobs in an S3 bucket; see `asman_server.blobs.store.BlobStore`.

    Args:
        settings: The bucket and the access to it.
        clock: Tells the time.
    """

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client: Any = None
        self._public: Any = None
        self._trusted: bool | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Opens the connections, even if the bucket can't be used yet: the storage may start after the hub."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(self._connect(settings.endpoint))
            public = settings.public_endpoint or settings.endpoint
            self._public = await stack.enter_async_context(self._connect(public))
            looking = asyncio.get_running_loop().create_task(self._look())
            try:
                yield
            finally:
                looking.cancel()
                await asyncio.wait([looking])

    async def _look(self) -> None:
        """Checks whether the bucket can be used, and logs a warning if not."""
        try:
            with self._asking():
                await self._client.head_bucket(Bucket=self._settings.bucket)
        except AsmanError as error:
            log.warning("the bucket for blobs can't be used yet", extra={"error": error.message})

    def _connect(self, endpoint: str) -> Any:
        settings = self._settings
        return get_session().create_client(
            "s3",
            endpoint_url=endpoint or None,
            region_name=settings.region,
            aws_access_key_id=settings.access_key or None,
            aws_secret_access_key=settings.secret_key or None,
            config=AioConfig(
                signature_version="s3v4",
                s3={"addressing_style": "path" if settings.path_style else "virtual"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                max_pool_connections=CONNECTIONS,
                connect_timeout=TIMEOUT_SECONDS,
                read_timeout=TIMEOUT_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turns the library's errors into `AsmanError`."""
        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            if said.get("Code") in _GONE:
                raise NotFound("the storage does not have this object") from None
            reason = said.get("Message") or said.get("Code") or "no reason given"
            raise Unavailable(f"the storage for blobs refused the hub ({reason}); try again") from error
        except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the storage for blobs can't be reached now ({error}); try again") from error

    def _key(self, name: str) -> str:
        return f"{self._settings.prefix}/{name}" if self._settings.prefix else name

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": self._key(name)}

    def _expires(self) -> int:
        return self._clock() + TICKET_SECONDS * 1000

    async def _signed(self, operation: str, parameters: dict[str, Any]) -> str:
        with self._asking():
            url: str = await self._public.generate_presigned_url(operation, Params=parameters, ExpiresIn=TICKET_SECONDS)
        return url

    # -------------------------------------------------------------------------------------------------- sending

    def recorded(self, size: int) -> bool:
        """Always true: the hub does not see the bytes, so it must remember to check for them."""
        del size
        return True

    def direct(self, sha256: str, size: int) -> BlobTicket:
        """Never called, because all uploads are recorded."""
        raise AssertionError(f"an upload of {size} bytes of {sha256} was not recorded")

    async def begin(self, sha256: str, size: int, *, whole: bool = False) -> tuple[str, str]:
        """Begins a multipart upload, or chooses a staging key."""
        place = new_place(sha256)
        if whole or size <= limits.PART_BYTES:
            return place, ""
        with self._asking():
            made = await self._client.create_multipart_upload(**self._at(place), ContentType="application/octet-stream")
        return place, str(made["UploadId"])

    async def ticket(self, upload: UploadRow, *, fresh: bool = False) -> BlobTicket | None:
        """A ticket with presigned addresses for the missing bytes."""
        if upload.store_id:
            return await self._ticket_for_parts(upload, fresh)
        if not fresh and await self._size(_staging(upload.place)) is not None:
            return None
        expires = self._expires()
        headers = {"x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(upload.sha256)).decode()}
        parameters = {
            **self._at(_staging(upload.place)),
            "ContentLength": upload.size,
            "ChecksumSHA256": headers["x-amz-checksum-sha256"],
        }
        url = await self._signed("put_object", parameters)
        return BlobTicket(sha256=upload.sha256, url=url, headers=headers, expires=expires, missing=upload.size)

    async def redirect(self, upload: UploadRow) -> str:
        """The address for a client that follows redirects to send a blob in one piece."""
        return await self._signed("put_object", {**self._at(_staging(upload.place)), "ContentLength": upload.size})

    async def _ticket_for_parts(self, upload: UploadRow, fresh: bool) -> BlobTicket | None:
        try:
            there = {} if fresh else await self._parts(upload)
        except NotFound:
            if await self._size(upload.place) is None:
                raise
            return None  # the upload was completed, and the hub stopped before it noted that
        numbers = range(1, part_count(upload.size) + 1)
        missing = [n for n in numbers if there.get(n, ("", -1))[1] != part_size(upload.size, n)]
        if not missing:
            return None
        expires = self._expires()
        parts: list[BlobPart] = []
        for number in missing[: limits.PARTS_PER_TICKET]:
            size = part_size(upload.size, number)
            parameters = {
                **self._at(upload.place),
                "UploadId": upload.store_id,
                "PartNumber": number,
                "ContentLength": size,
            }
            url = await self._signed("upload_part", parameters)
            parts.append(BlobPart(number, (number - 1) * limits.PART_BYTES, size, url))
        left = sum(part_size(upload.size, number) for number in missing)
        return BlobTicket(sha256=upload.sha256, expires=expires, parts=parts, missing=left)

    async def _parts(self, upload: UploadRow) -> dict[int, tuple[str, int]]:
        """Tag and size of each received part, by its number."""
        found: dict[int, tuple[str, int]] = {}
        more: dict[str, Any] = {}
        while True:
            with self._asking():
                page = await self._client.list_parts(
                    **self._at(upload.place), UploadId=upload.store_id, MaxParts=PAGE, **more
                )
            found.update((part["PartNumber"], (part["ETag"], part["Size"])) for part in page.get("Parts", ()))
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def _size(self, name: str) -> int | None:
        """The size of an object, in bytes; None for a missing object."""
        try:
            with self._asking():
                return int((await self._client.head_object(**self._at(name)))["ContentLength"])
        except NotFound:
            return None

    # ------------------------------------------------------------------------------------------------ verifying

    async def settle(self, upload: UploadRow) -> str:
        """Copies or completes the received bytes, and verifies them."""
        place = await (self._completed(upload) if upload.store_id else self._copied(upload))
        try:
            await self._verify(place, upload)
        except Unauthentic:
            await self.remove(place)
            raise
        return place

    async def _copied(self, upload: UploadRow) -> str:
        place = new_place(upload.sha256)
        source = {"Bucket": self._settings.bucket, "Key": self._key(_staging(upload.place))}
        with self._asking():
            await self._client.copy_object(**self._at(place), CopySource=source)
        return place

    async def _completed(self, upload: UploadRow) -> str:
        try:
            parts = await self._parts(upload)
            listed = [{"PartNumber": number, "ETag": tag} for number, (tag, _) in sorted(parts.items())]
            with self._asking():
                await self._client.complete_multipart_upload(
                    **self._at(upload.place), UploadId=upload.store_id, MultipartUpload={"Parts": listed}
                )
        except NotFound:
            if await self._size(upload.place) is None:
                raise
        return upload.place

    async def _verify(self, place: str, upload: UploadRow) -> None:
        found, size = await self._digest(place, vouched=not upload.store_id)
        if found != upload.sha256 or size != upload.size:
            raise Unauthentic(
                f"{size} bytes with sha256 {found[:12]}… arrived, but the upload was announced as "
                f"{upload.sha256[:12]}… with {upload.size} bytes; nothing was kept"
            )

    async def _digest(self, place: str, *, vouched: bool) -> tuple[str, int]:
        """The sha256 and size of an object, from the storage if it is trusted, otherwise by reading the object."""
        if vouched and await self._vouches():
            with self._asking():
                head = await self._client.head_object(**self._at(place), ChecksumMode="ENABLED")
            if head.get("ChecksumSHA256"):
                return base64.b64decode(head["ChecksumSHA256"]).hex(), int(head["ContentLength"])
        digest = hashlib.sha256()
        size = 0
        with self._asking():
            answer = await self._client.get_object(**self._at(place))
            async with answer["Body"] as body:
                async for piece in body.iter_chunks(CHUNK):
                    size += len(piece)
                    await asyncio.to_thread(digest.update, piece)
        return digest.hexdigest(), size

    async def _vouches(self) -> bool:
        """Returns whether the storage refuses bytes with another sha256 than announced; tried out once."""
        if self._trusted is None:
            name = f"incoming/trial-{secrets.token_hex(8)}"
            other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
            try:
                await self._client.put_object(**self._at(name), Body=b"bytes", ChecksumSHA256=other)
                await self.remove(name)
                self._trusted = False
            except ClientError as error:
                self._trusted = error.response.get("Error", {}).get("Code") in ("BadDigest", "InvalidDigest")
            except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError):
                return False
            log.info("checked whether the storage verifies a sha256", extra={"verifies": self._trusted})
        return self._trusted

    async def abort(self, upload: UploadRow) -> None:
        """Removes the staging object, or the parts."""
        if not upload.store_id:
            await self.remove(_staging(upload.place))
            return
        try:
            with self._asking():
                await self._client.abort_multipart_upload(**self._at(upload.place), UploadId=upload.store_id)
        except NotFound:
            log.debug("an upload had ended before it was aborted")

    async def keep(self, sha256: str, size: int, file: Path) -> str:
        """Sends a local file to the bucket."""
        place = new_place(sha256)
        with self._asking(), await asyncio.to_thread(file.open, "rb") as body:
            await self._client.put_object(**self._at(place), Body=body, ContentLength=size)
        return place

    # -------------------------------------------------------------------------------------------------- reading

    async def link(self, row: BlobRow, media_type: str | None = None, disposition: str | None = None) -> str:
        """A presigned address."""
        parameters = {
            **self._at(row.place),
            "ResponseContentType": media_type or "application/octet-stream",
            **({"ResponseContentDisposition": disposition} if disposition else {}),
        }
        return await self._signed("get_object", parameters)

    # ------------------------------------------------------------------------------------------------- cleaning

    async def remove(self, place: str) -> None:
        """Removes an object."""
        with self._asking():
            await self._client.delete_object(**self._at(place))

    async def strays(self, before: float) -> AsyncIterator[list[Stray]]:
        """Old objects, then old multipart uploads."""
        start = self._key("")
        more: dict[str, Any] = {}
        while True:
            with self._asking():
                page = await self._client.list_objects_v2(
                    Bucket=self._settings.bucket, Prefix=start, MaxKeys=PAGE, **more
                )
            yield [
                self._stray(found["Key"].removeprefix(start))
                for found in page.get("Contents", ())
                if found["LastModified"].timestamp() < before and _ours(found["Key"].removeprefix(start))
            ]
            if not page.get("IsTruncated"):
                break
            more = {"ContinuationToken": page["NextContinuationToken"]}
        yield [
            Stray(sha256_of(found["Key"]), found["Key"].removeprefix(start), f"multipart:{found['UploadId']}")
            for found in await self._multiparts(start)
            if found["Initiated"].timestamp() < before and _ours(found["Key"].removeprefix(start))
        ]

    async def _multiparts(self, start: str) -> list[dict[str, Any]]:
        try:
            with self._asking():
                page = await self._client.list_multipart_uploads(
                    Bucket=self._settings.bucket, Prefix=start, MaxUploads=PAGE
                )
        except NotFound:
            return []  # some storages answer so if there are none
        return list(page.get("Uploads") or ())

    def _stray(self, name: str) -> Stray:
        sha256 = sha256_of(name)
        return Stray(sha256, f"{sha256[:2]}/{name.rpartition('/')[2]}", name)

    async def discard(self, stray: Stray) -> None:
        """Removes an old object, or aborts an old multipart upload."""
        if not stray.key.startswith("multipart:"):
            await self.remove(stray.key)
            return
        upload_id = stray.key.removeprefix("multipart:")
        await self.abort(UploadRow("", stray.sha256, 0, stray.place, upload_id, 0, 0))


def _staging(place: str) -> str:
    return f"incoming/{place.rpartition('/')[2]}"


def _ours(name: str) -> bool:
    """Returns whether this store makes such keys: other keys in the bucket are never touched."""
    folder, _, rest = name.partition("/")
    sha256 = sha256_of(rest)
    return "/" not in rest and (
        (folder == "incoming" and (bool(sha256) or rest.startswith("trial-")))
        or (bool(sha256) and folder == sha256[:2])
    )
