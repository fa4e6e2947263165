"""Which queue of which hub a worker serves, from what a person typed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from asman_shared.errors import CLOSE_REASONS, BadRequest, CloseCode

_QUEUE: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HTTP: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class QueueTarget:
    """A queue and the hub that has it.

    Attributes:
        base: The hub's address, ``http(s)://host[:port][/prefix]`` without a slash at the end.
        queue: The queue's name. It is a secret: whoever knows it may use the queue.
    """

    base: str
    queue: str

    @classmethod
    def parse(cls, queue: str, hub: str = "") -> QueueTarget:
        """Reads a queue's URL (``http``, ``https``, ``ws`` or ``wss``), or its bare name on a hub.

        Args:
            queue: ``https://host/q/name``, or ``name``.
            hub: The hub's address, used for a bare name.

        Raises:
            BadRequest: It is neither, or a bare name came without a hub.
        """
        if "://" not in queue:
            if _QUEUE.fullmatch(queue) is None:
                raise BadRequest(f"'{queue}' is no queue: {CLOSE_REASONS[CloseCode.BAD_QUEUE]}", field="queue")
            if not hub:
                raise BadRequest(
                    "a bare queue name needs the hub it is on: give the queue's whole URL, --hub or ASMAN_HUB",
                    field="hub",
                )
            return cls(_base(hub, "hub"), queue)
        parts = urlsplit(queue)
        before, found, after = parts.path.rpartition("/q/")
        name = unquote(after.split("/", 1)[0])
        if not found or _QUEUE.fullmatch(name) is None:
            raise BadRequest(
                f"a queue's URL looks like https://host/q/name, and {CLOSE_REASONS[CloseCode.BAD_QUEUE]}",
                field="queue",
            )
        return cls(_base(urlunsplit((parts.scheme, parts.netloc, before, "", "")), "queue"), name)

    @property
    def websocket(self) -> str:
        """The address of the worker's socket."""
        return f"ws{self.base.removeprefix('http')}/q/{self.queue}/worker"

    @property
    def digest(self) -> str:
        """A short hash that names the queue in logs, file names and metrics without giving it away."""
        return hashlib.sha256(self.queue.encode()).hexdigest()[:8]

    def join(self, url: str) -> str:
        """An absolute address from one that may be relative to the hub's."""
        return f"{self.base}{url}" if url.startswith("/") else url


def _base(address: str, field: str) -> str:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    scheme = _HTTP.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise BadRequest(f"'{address}' is no hub address: write https://host or http://host:port", field=field)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
