"""Guards the queue of a user's own machine, which pages find under the name ``local``.

Any web page may send requests to ``localhost``. Without this guard any page could run containers on its visitor's
machine. A page can guess the queue ``local``, jobs and files by their ids, and the hub's own addresses, by which it
could learn that there is a hub. So requests for these are answered only

- to this machine, for the queue ``local``: its name is not a secret, so no other machine in the network may use it;
- under one of this machine's own host names: a page that resolves its name to this machine (DNS rebinding) has another;
- to pages of this hub, and of origins that the operator has named (``--allow-origin``).

Programs other than browsers send no header ``Origin`` and need none. Queues with secret names stay open to everyone who
knows the name.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..hub import LOCAL
from ..rest.own_machine import host_name, is_loopback

BY_ID: Final = ("f", "j", "upload", "download")
"""First parts of addresses that continue with a hash or a name, which can be guessed."""
SIGNED: Final = "b"
"""First part of addresses that are signed, so that nobody can guess them."""
MAY_USE_LOCAL: Final = "asman.may_use_local"
"""Key in a request's scope: whether the request may copy a job to ``local``."""
_SOCKETS: Final = ("client", "browser", "worker", "metrics", "status")


class LocalGate:
    """ASGI middleware that refuses requests of strangers for guessable addresses.

    Args:
        app: The hub's application.
        queue: The queue that ``local`` stands for.
        origins: Origins that may use it, ``*`` for all.
        public_host: A host name of this hub besides those of loopback.
        in_network: The hub listens on its network, where it may have any name. Only ``local`` is then limited to the
            names of this machine.
    """

    def __init__(
        self,
        app: ASGIApp,
        queue: str,
        origins: Collection[str],
        public_host: str = "",
        *,
        in_network: bool = False,
    ) -> None:
        self._app = app
        self._queue = queue
        self._origins = {origin.rstrip("/").lower() for origin in origins}
        self._public_host = public_host.lower()
        self._in_network = in_network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers with the reason to refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        parts = scope["path"].split("/")[1:]
        at = _queue_at(parts)
        local = at is not None and parts[at] == LOCAL
        copies = parts[-1] == "copy"
        guessed = copies or parts[0] in BY_ID
        if local or guessed or (at is None and parts[0] != SIGNED):
            refusal = self._refusal(scope, local=local, guessed=guessed)
            if refusal:
                await _refuse(scope, send, refusal)
                return
        if copies:
            # The body names the queue that a job is copied to: a client that may not use `local` may not copy to it.
            scope = {**scope, MAY_USE_LOCAL: not self._refusal(scope, local=True, guessed=True)}
        if local and at is not None:
            parts[at] = self._queue
            path = "/" + "/".join(parts)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, *, local: bool, guessed: bool) -> str:
        """Returns the reason to refuse a request; empty when it is let through."""
        headers = Headers(scope=scope)
        client = scope.get("client")
        if local and (client is None or not is_loopback(client[0])):
            return "the queue 'local' is only for programs on the hub's own machine; use the queue's own name"
        host = headers.get("host", "")
        if (local or (guessed and not self._in_network)) and not self._is_own(host):
            return f"'{host[:200]}' is not a name of this hub"
        origin = headers.get("origin")
        if origin is None:
            strange = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
            visits = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
            return "pages of other origins may not use the hub of this machine" if strange and not visits else ""
        known = origin.rstrip("/").lower()
        if "*" in self._origins or known in self._origins or urlsplit(known).netloc == host.lower():
            return ""
        return (
            f"pages of {origin[:200]} may not use the hub of this machine; "
            f"its operator can allow them with --allow-origin {origin[:200]}"
        )

    def _is_own(self, host: str) -> bool:
        """Whether a host name is safe from DNS rebinding: a name of loopback, or a plain address."""
        name = host_name(host)
        if name == "localhost" or name.endswith(".localhost") or (self._public_host and name == self._public_host):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _queue_at(parts: list[str]) -> int | None:
    """Returns the index of the part of an address that names a queue."""
    if parts[0] == "q" and len(parts) > 1:
        return 1
    return 0 if len(parts) == 2 and parts[1] in _SOCKETS else None


async def _refuse(scope: Scope, send: Send, sentence: str) -> None:
    """Answers with the reason, without the headers that would let the page read it."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": sentence[:120]})
        return
    body = json.dumps({"error": sentence, "code": "forbidden"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
