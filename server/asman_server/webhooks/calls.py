"""Checks the webhooks of a submission, and makes the stored row of one call."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from asman_shared import limits
from asman_shared.errors import BadRequest, TooLarge
from asman_shared.messages import Callback, Callbacks
from asman_shared.states import Reason

from ..core.callbacks import Call, Calls
from ..core.effects import CallWebhook
from ..storage.commit import WebhookRow
from .guard import closed_host

HOST_LENGTH: Final = 253
"""Longest host name, in characters (RFC 1035)."""

_encode = msgspec.json.Encoder().encode


def calls_of(callbacks: Callbacks | None, *, allow_private: bool = False, known_as: str = "") -> Calls | None:
    """Checks the webhooks of a submission.

    Args:
        callbacks: The webhooks as submitted.
        allow_private: Whether addresses outside the public internet may be called.
        known_as: The client's id of the job, if it differs from the job's own.

    Raises:
        BadRequest: A URL is wrong, or this hub does not call it; the error names the field.
        TooLarge: A URL or a payload is too long.
    """
    if callbacks is None:
        return None
    return Calls(
        queued=_call(callbacks.queued, "callbacks.queued", known_as, allow_private=allow_private),
        finished=_call(callbacks.finished, "callbacks.finished", known_as, allow_private=allow_private),
    )


def _call(callback: Callback | None, field: str, known_as: str, *, allow_private: bool) -> Call | None:
    if callback is None:
        return None
    _check_url(callback.url, f"{field}.url", allow_private=allow_private)
    if callback.whole_queue and urlsplit(callback.url).scheme != "https":
        raise BadRequest(
            "the whole name of a queue is all rights to it and is sent over https only; without whole_queue the "
            "receiver gets a short name",
            field=f"{field}.whole_queue",
        )
    return Call(callback.url, _pack(callback.payload, f"{field}.payload"), known_as, callback.whole_queue)


def _check_url(url: str, field: str, *, allow_private: bool) -> None:
    if not url.isascii():
        raise BadRequest("write the URL of a webhook in ASCII: percent-encode its path, punycode its host", field=field)
    if len(url) > limits.CALLBACK_URL_BYTES:
        raise TooLarge(f"the URL of a webhook may have at most {limits.CALLBACK_URL_BYTES} bytes", field=field)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadRequest("this is not a URL: its host or its port can't be read", field=field) from None
    if any(ch <= " " or ch == "\x7f" or ch == "\\" for ch in url):
        raise BadRequest("a URL must not have spaces, backslashes or control characters", field=field)
    if parts.scheme not in ("http", "https") or not host or len(host) > HOST_LENGTH:
        raise BadRequest("the URL of a webhook must look like https://host/path", field=field)
    why = None if allow_private else closed_host(host)
    if why is not None:
        raise BadRequest(
            f"this hub does not call {why} addresses; its operator can allow it with --allow-private-webhooks",
            field=field,
        )


def _pack(payload: Any, field: str) -> bytes:
    if payload is None:
        return b""
    try:
        packed = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadRequest("the payload of a webhook must be JSON", field=field) from None
    if len(packed) > limits.CALLBACK_PAYLOAD_BYTES:
        raise TooLarge(
            f"a webhook's payload may have at most {limits.CALLBACK_PAYLOAD_BYTES} bytes as JSON; it has {len(packed)}",
            field=field,
        )
    return packed


class _Body(msgspec.Struct, rename="camel", omit_defaults=True):
    """The body of a call."""

    job_id: str
    queue: str
    namespace: str
    config: msgspec.Raw
    state: str = ""
    reason: str = ""


def row_of(queue: str, short: str, effect: CallWebhook, now: int) -> WebhookRow:
    """Makes the row of a call that is due immediately.

    Args:
        queue: The queue's name, which is all rights to it.
        short: The name that the receiver gets unless the submitter wanted the whole one.
        effect: The call.
        now: The current time, in epoch milliseconds.
    """
    call = effect.call
    shown = queue if call.whole_queue else short
    body = _Body(call.known_as or effect.job.id, shown, effect.namespace, msgspec.Raw(call.payload or b"{}"))
    if effect.reason is not None:
        body.state, body.reason = "Finished", effect.reason.value
    return WebhookRow(
        id=secrets.token_hex(16),
        queue=queue,
        event=effect.event,
        host=host_of(effect.call.url),
        url=effect.call.url,
        body=_encode(body),
        created=now,
        tries=0,
        due=now,
    )


def given_up(row: WebhookRow) -> WebhookRow:
    """Returns a call that tells of the end of a run as one of a run that could not be stored."""
    body = msgspec.json.decode(row.body, type=_Body)
    if row.event == "finished":
        body.reason = Reason.ERROR.value
    return replace(row, body=_encode(body))


def host_of(url: str) -> str:
    """Host and port of a URL, for the limit of calls to one host."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
