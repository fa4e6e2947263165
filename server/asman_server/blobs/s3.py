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
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from asman_shared import limits
from asman_shared.errors import AsmanError, Misconfigured, NotFound, Unauthentic, Unavailable
from asman_shared.messages import BlobPart, BlobTicket

from ..clock import Clock
from ..storage.blob_changes import BlobRow, UploadRow
from .multipart import part_count, part_size
from .s3_client import s3_client
from .s3_errors import Storage
from .s3_settings import S3Settings
from .s3_trial import Trial, Tried, verifies_sha256
from .store import CHUNK, TICKET_SECONDS, Stray, new_place, sha256_of

log = logging.getLogger("asman.hub.blobs")

PAGE: Final = 500
"""Objects or parts that one request lists."""
LOOK_SECONDS: Final = 10.0
"""Time between two trials of a bucket that can't be used, in seconds."""
ONLY_CLEANING: Final = frozenset({"list", "delete"})
"""Steps of a trial without which blobs can still be sent and read."""
FAULT_SECONDS: Final = 5.0
"""Time in which the storage must answer to count as there, in seconds."""


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
        self._storage = Storage()
        self._broken: dict[str, str] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Opens the connections, even if the bucket can't be used yet: the storage may start after the hub."""
        async with self.connected():
            yield

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Opens the connections, and nothing more."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(s3_client(settings, settings.endpoint))
            public = settings.public_endpoint or settings.endpoint
            self._public = await stack.enter_async_context(s3_client(settings, public))
            yield

    async def look_after(self) -> None:
        """Tries the bucket out until it can be used, and logs what is wrong with it and when that changes."""
        told = ""
        while True:
            wrong = [tried async for tried in self.examine() if tried.error is not None]
            if any(tried.permanent for tried in wrong):
                # A storage that is started again meanwhile forgets what it was told; only what fails twice is broken.
                before = {tried.what for tried in wrong if tried.permanent}
                wrong = [tried async for tried in self.examine() if tried.error is not None]
                self._broken = {t.what: t.sentence for t in wrong if t.permanent and t.what in before}
            else:
                self._broken = {}
            said = next(iter(self._broken.values()), "") or next((tried.sentence for tried in wrong), "")
            if not said:
                if told:
                    log.warning("the bucket for blobs can be used now")
                return
            if said != told:
                told = said
                level = logging.ERROR if self._broken else logging.WARNING
                log.log(level, "the bucket for blobs can't be used", extra={"error": said})
            await asyncio.sleep(LOOK_SECONDS)

    async def examine(self) -> AsyncIterator[Tried]:
        """Tries out all that a hub needs of the bucket; see `asman_server.blobs.s3_trial`."""
        async for tried in Trial(self._client, self._storage, self._settings.bucket, self._key).run():
            yield tried

    async def fault(self) -> str:
        """Why blobs can't be sent or read now."""
        for what, sentence in self._broken.items():
            if what not in ONLY_CLEANING:
                return sentence
        try:
            async with asyncio.timeout(FAULT_SECONDS):
                with self._storage.asking():
                    await self._client.head_bucket(Bucket=self._settings.bucket)
        except TimeoutError:
            return f"the storage for blobs did not answer within {FAULT_SECONDS:g} s"
        except AsmanError as error:
            return error.message
        return ""

    def _key(self, name: str) -> str:
        return f"{self._settings.prefix}/{name}" if self._settings.prefix else name

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": self._key(name)}

    def _expires(self) -> int:
        return self._clock() + TICKET_SECONDS * 1000

    async def _signed(self, operation: str, parameters: dict[str, Any]) -> str:
        with self._storage.asking():
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
        self._need(*(("bucket", "put") if whole or size <= limits.PART_BYTES else ("bucket", "multipart")))
        place = new_place(sha256)
        if whole or size <= limits.PART_BYTES:
            return place, ""
        with self._storage.asking():
            made = await self._client.create_multipart_upload(**self._at(place), ContentType="application/octet-stream")
        return place, str(made["UploadId"])

    def _need(self, *steps: str) -> None:
        """Refuses at once what the trial of the bucket has shown to be impossible."""
        for what in steps:
            if what in self._broken:
                raise Misconfigured(self._broken[what])

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
        """Tag and size of each received part, by its number.

        Raises:
            NotFound: The upload is over, or has two kinds of bytes for one part (some storages keep both when a part
                is sent again), so that it must begin anew.
        """
        found: dict[int, tuple[str, int]] = {}
        more: dict[str, Any] = {}
        while True:
            with self._storage.asking():
                page = await self._client.list_parts(
                    **self._at(upload.place), UploadId=upload.store_id, MaxParts=PAGE, **more
                )
            for part in page.get("Parts", ()):
                entry = (part["ETag"], part["Size"])
                if found.setdefault(part["PartNumber"], entry) != entry:
                    log.info("the storage lists a part twice; its upload begins anew", extra={"blob": upload.sha256})
                    raise NotFound(f"the storage has two versions of part {part['PartNumber']}")
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def _size(self, name: str) -> int | None:
        """The size of an object, in bytes; None for a missing object."""
        try:
            with self._storage.asking():
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
        with self._storage.asking():
            await self._client.copy_object(**self._at(place), CopySource=source)
        return place

    async def _completed(self, upload: UploadRow) -> str:
        try:
            parts = await self._parts(upload)
            listed = [{"PartNumber": number, "ETag": tag} for number, (tag, _) in sorted(parts.items())]
            with self._storage.asking():
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
            with self._storage.asking():
                head = await self._client.head_object(**self._at(place), ChecksumMode="ENABLED")
            if head.get("ChecksumSHA256"):
                return base64.b64decode(head["ChecksumSHA256"]).hex(), int(head["ContentLength"])
        digest = hashlib.sha256()
        size = 0
        with self._storage.asking():
            answer = await self._client.get_object(**self._at(place))
            async with answer["Body"] as body:
                async for piece in body.iter_chunks(CHUNK):
                    size += len(piece)
                    await asyncio.to_thread(digest.update, piece)
        return digest.hexdigest(), size

    async def _vouches(self) -> bool:
        """Returns whether the storage refuses bytes with another sha256 than announced; tried out once."""
        if self._trusted is None:
            try:
                self._trusted = await verifies_sha256(self._client, self._settings.bucket, self._key)
            except Unavailable:
                return False
            log.info("checked whether the storage verifies a sha256", extra={"verifies": self._trusted})
        return self._trusted

    async def abort(self, upload: UploadRow) -> None:
        """Removes the staging object, or the parts."""
        if not upload.store_id:
            await self.remove(_staging(upload.place))
            return
        try:
            with self._storage.asking():
                await self._client.abort_multipart_upload(**self._at(upload.place), UploadId=upload.store_id)
        except NotFound:
            log.debug("an upload had ended before it was aborted")

    async def keep(self, sha256: str, size: int, file: Path) -> str:
        """Sends a local file to the bucket."""
        place = new_place(sha256)
        with self._storage.asking(), await asyncio.to_thread(file.open, "rb") as body:
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

    async def read(self, row: BlobRow) -> bytes:
        """The bytes of a blob that is known to be small.

        Raises:
            NotFound: The storage does not have it.
            Unavailable: The storage can't be reached now.
        """
        with self._storage.asking():
            answer = await self._client.get_object(**self._at(row.place))
            async with answer["Body"] as body:
                found: bytes = await body.read()
        return found

    # ------------------------------------------------------------------------------------------------- cleaning

    async def remove(self, place: str) -> None:
        """Removes an object."""
        with self._storage.asking():
            await self._client.delete_object(**self._at(place))

    async def strays(self, before: float) -> AsyncIterator[list[Stray]]:
        """Old objects, then old multipart uploads."""
        start = self._key("")
        more: dict[str, Any] = {}
        while True:
            with self._storage.asking():
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
            with self._storage.asking():
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
