"""Shared parts of the HTTP endpoints: errors, JSON, CORS, files and blobs as responses, health."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from asman_shared.definition import DataRef
from asman_shared.definition_check import base64_bytes
from asman_shared.errors import AsmanError, BadRequest, TooSlow
from asman_shared.identity import json_bytes
from asman_shared.public_addresses import STORAGE
from asman_shared.units import KIB

from ..hub import Hub
from .hostile import BYTES, elsewhere, file_headers, shown_as
from .types import Problems

Endpoint = Callable[[Request], Awaitable[Response]]

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, PUT, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "*",
}
_CORS_LINES: Final = [(name.lower().encode(), value.encode()) for name, value in CORS.items()]
_CORS_NAMES: Final = frozenset(name for name, _ in _CORS_LINES)


def hub_of(request: Request) -> Hub:
    """Returns the hub that serves a request."""
    hub: Hub = request.app.state.hub
    return hub


def error_response(error: AsmanError) -> Response:
    """Returns an error as an HTTP response; see `asman_server.rest.types.Problems`."""
    after = None if error.retry_after is None else ceil(error.retry_after * 1000)
    body = Problems(error.message, error.code, error.field or "", error.retry, after)
    return shown_to_pages(with_headers_of(error, as_json(body, status=error.status)))


def shown_to_pages(response: Response) -> Response:
    """Returns a response with the headers that let pages of any origin read it."""
    if _CORS_NAMES.isdisjoint(name for name, _ in response.raw_headers):
        response.raw_headers.extend(_CORS_LINES)
    else:
        response.headers.update(CORS)
    return response


def with_headers_of(error: AsmanError, response: Response) -> Response:
    """Returns a response about an error, whatever its form, with the headers that go with the error."""
    if error.retry:
        response.headers["Retry-After"] = str(max(1, ceil(error.retry_after or 0)))
    if error.status == TooSlow.status:
        response.headers["Connection"] = "close"  # or the rest of the body could go on trickling in
    return response


def answers(endpoint: Endpoint, *, to_pages: bool = True) -> Endpoint:
    """Wraps an endpoint: errors become HTTP responses, and pages of any origin may read every response.

    Args:
        endpoint: The endpoint.
        to_pages: Whether pages of other origins may read the responses.
    """

    async def answering(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except AsmanError as error:
            response = error_response(error)
        except ClientDisconnect:
            # The sender is gone, so this response has no reader.
            return Response(status_code=400)
        if to_pages:
            shown_to_pages(response)
        else:
            for name in CORS:
                del response.headers[name]
        return response

    return answering


def as_json(value: Any, status: int = 200) -> Response:
    """Returns a JSON response from message types or plain values."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


async def health(request: Request) -> Response:
    """Answers ``GET /healthz``: whether the hub and all of its own tasks run."""
    hub: Hub = request.app.state.hub
    if failed := hub.supervisor.failed:
        return PlainTextResponse(f"the task '{failed}' has ended; the hub must be started again", status_code=500)
    return PlainTextResponse("OK")


async def ready(request: Request) -> Response:
    """Answers ``GET /readyz``: 200, or 503 while the database, the store of blobs or room on the disk is missing."""
    hub: Hub = request.app.state.hub
    why = await hub.unready()
    return PlainTextResponse(why, status_code=503) if why else PlainTextResponse("OK")


def unfinished(name: str) -> str:
    """Returns the sentence about an output of a job that is not finished, or runs again."""
    return f"this job is not finished, so it has no output '{name[:200]}' yet; wait for its end"


async def ref_response(request: Request, ref: DataRef, name: str, media_type: str | None = None) -> Response:
    """Returns the bytes that a ref stands for, under a file's name, or the way to them.

    Raises:
        BadDefinition: The ref was stored before such refs were refused: it stands for no bytes.
        NotFound: The blob is not stored, or the ref is an address that can't be fetched.
    """
    kind = media_type or mimetypes.guess_type(name)[0] or BYTES
    disposition = f"inline; filename*=UTF-8''{quote(name.rsplit('/', 1)[-1])}"
    if ref.type == "url":
        return elsewhere(request, str(ref.value))
    if ref.type == "key":
        return await blob_response(hub_of(request), str(ref.value), kind, disposition)
    if ref.type == "base64":
        body = base64_bytes(ref.value, "ref.value")
    elif ref.type == "json" or not isinstance(ref.value, str):
        body = json_bytes(ref.value)
    else:
        body = ref.value.encode()
    return Response(body, headers=file_headers(kind, disposition))


class _BlobFile(FileResponse):
    """A file response with larger chunks, because each chunk costs a step in a thread.

    A range that can't be answered is refused in the form of every error, which pages of other origins may read, too.
    """

    chunk_size = 256 * KIB

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        refused = False

        async def sending(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and (status := message["status"]) in _NO_RANGES:
                refused = True
                response = shown_to_pages(as_json(Problems(_NO_RANGES[status], BadRequest.code, "Range"), status))
                if size := Headers(raw=message["headers"]).get("content-range"):
                    response.headers["Content-Range"] = size
                await response(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, sending)


_NO_RANGES: Final = {
    400: "'Range' can't be read: write bytes=0-99, bytes=100- or bytes=-100",
    416: "the file has no byte of this range",
}
"""Sentences for the statuses with which `FileResponse` refuses a range."""


async def blob_response(hub: Hub, sha256: str, kind: str, disposition: str = "inline") -> Response:
    """Returns the bytes of a blob, with ranges, or a redirect to them.

    Raises:
        NotFound: The blob is not stored.
    """
    path = await hub.blobs.file(sha256)
    if path is None:
        row = await hub.blobs.row(sha256)
        link = await hub.blobs.store.link(row, shown_as(kind), disposition)
        return RedirectResponse(link, status_code=302, headers=_storage(link))
    return _BlobFile(path, headers={**file_headers(kind, disposition), "ETag": f'"{sha256}"'})


def _storage(link: str) -> dict[str, str]:
    """Returns the header that tells workers and clients, which trust the hub, that its storage is at this origin."""
    parts = urlsplit(link)
    return {STORAGE: f"{parts.scheme}://{parts.netloc}"} if parts.netloc else {}


async def preflight(_request: Request) -> Response:
    """Answers ``OPTIONS`` at any address: every cross-origin request is allowed."""
    return Response(status_code=204)


__all__ = [
    "answers",
    "as_json",
    "blob_response",
    "error_response",
    "health",
    "hub_of",
    "preflight",
    "ref_response",
    "shown_to_pages",
    "unfinished",
    "with_headers_of",
]
