"""Serves blobs over HTTP: at signed addresses (``/b/``), and by name to people without a client (``/f/``)."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asman_shared.definition import SHA256
from asman_shared.errors import BadRequest, NotFound, TooLarge
from asman_shared.units import GIB, format_size

from ..access import Access
from ..blobs import BLOB_BYTES, FolderStore, S3Store
from ..blobs.folder import Grant
from ..blobs.named_files import blob_named
from ..hub import Hub
from .base import as_json, blob_response, hub_of
from .hostile import BYTES, file_headers
from .requests import streamed
from .types import BlobAnswer, FileAnswer, FileExistsAnswer

REDIRECTED_BYTES: Final = 5 * GIB
"""Largest size that S3 takes in one request, in bytes; https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html."""
CACHE: Final = "public, max-age=31536000, immutable"
"""Cache header of files: the content of a sha256 never changes."""


def _granted(request: Request, method: str) -> tuple[str, str]:
    """Checks a signed address; returns the blob's sha256 and the rest of the signed text."""
    sha256 = str(request.path_params["sha256"])
    if SHA256.fullmatch(sha256) is None:
        raise BadRequest("a blob's name is a sha256 in 64 lowercase hex digits", field="sha256")
    query = dict(request.query_params)
    return sha256, hub_of(request).signer.check(method, FolderStore.PREFIX + sha256, query, now=time.time())


async def get_blob(request: Request) -> Response:
    """Returns a blob at a signed address, whole or in ranges."""
    sha256, _ = _granted(request, "GET")
    return await blob_response(hub_of(request), sha256, BYTES)


async def put_blob(request: Request) -> Response:
    """Stores the bytes that an upload ticket asked for: a whole blob, which is verified, or one part of it."""
    sha256, signed = _granted(request, "PUT")
    service = hub_of(request).blobs
    grant = Grant.read(signed)
    if grant.name:
        await service.local.receive_part(grant, streamed(request))
    else:
        await service.receive(sha256, grant.size, streamed(request))
    return as_json(BlobAnswer(sha256), status=201)


def _length(request: Request) -> int:
    """Returns the size that a request announces, in bytes.

    Raises:
        BadRequest: The request announces none.
    """
    text = request.headers.get("content-length", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 16:
        raise BadRequest("announce the size: send a Content-Length, and no chunked encoding")
    return int(text)


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def put_file(request: Request) -> Response:
    """Stores bytes under their sha256, or (small ones, once) under any other plain name.

    If the name is a sha256, with or without a suffix, the bytes are verified. Where blobs are in S3, the answer is a
    redirect (307) to send the bytes there; ``/f/{name}/exists`` then tells whether they were right. A hub with
    ``--private-names`` puts a random token before a plain name, and the answer has the whole name.
    """
    hub, name, size = hub_of(request), _name(request), _length(request)
    sha256 = blob_named(name)
    sent_by = Access("", frozenset(), sender=hub.sender(request))
    take = partial(hub.limiter.store, sent_by, size)
    if sha256 is None:
        name = hub.files.name_for(name)
        found = await hub.files.put(name, size, streamed(request), take)
        return as_json(FileAnswer(name, found), status=201)
    if size > BLOB_BYTES:
        raise TooLarge(f"a blob may have at most {format_size(BLOB_BYTES)}; this one has {format_size(size)}")
    if isinstance(hub.blobs.store, S3Store):
        return await _send_elsewhere(hub, hub.blobs.store, sha256, size, take)
    take()
    await hub.blobs.receive(sha256, size, streamed(request))
    return as_json(FileAnswer(name, sha256), status=201)


async def _send_elsewhere(hub: Hub, store: S3Store, sha256: str, size: int, take: Callable[[], None]) -> Response:
    if size > REDIRECTED_BYTES:
        raise TooLarge(f"one request can send at most {format_size(REDIRECTED_BYTES)}; use the asman client for more")
    take()  # after the check: what is refused costs nothing
    upload = await hub.blobs.open_whole(sha256, size)
    if upload is None:
        return as_json(FileAnswer(sha256, sha256))
    return RedirectResponse(await store.redirect(upload), status_code=307)


async def get_file(request: Request) -> Response:
    """Returns the bytes stored under a name, whole or in ranges, or a redirect where blobs are in S3."""
    hub, name = hub_of(request), _name(request)
    sha256 = await hub.files.sha256(name)
    etag = f'"{sha256}"'
    row = await hub.blobs.row(sha256)
    kind = mimetypes.guess_type(name)[0] or BYTES
    disposition = f"inline; filename*=UTF-8''{quote(name)}"
    caching = {"ETag": etag, "Cache-Control": CACHE}
    if etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=caching)
    if request.method == "HEAD" and not isinstance(hub.blobs.store, FolderStore):
        # A presigned address is valid for one method only, so a redirect can't serve HEAD.
        headers = {"Content-Length": str(row.size), **caching, **file_headers(kind, disposition)}
        return Response(headers=headers)
    response = await blob_response(hub, sha256, kind, disposition)
    if response.status_code == 200:
        response.headers.update(caching)
    return response


async def file_exists(request: Request) -> Response:
    """Tells whether a name is stored: 200 if it is, 404 if not, both with ``{"exists": …}``."""
    hub = hub_of(request)
    try:
        await hub.blobs.row(await hub.files.sha256(_name(request)))
    except NotFound:
        return as_json(FileExistsAnswer(False), status=404)
    return as_json(FileExistsAnswer(True))
