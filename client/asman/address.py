"""Where a queue is: the address of its hub and its name.

A queue's name grants everything that can be done with the queue, so errors here show the host and never the name of
a queue that could be right.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from asman_shared.errors import BadRequest

QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
HUB_VARIABLE: Final = "ASMAN_HUB"
QUEUE_VARIABLE: Final = "ASMAN_QUEUE"

_TO_HTTP: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Address:
    """A queue on a hub.

    Attributes:
        hub: The hub's base address, ``http://host:port`` without a slash at its end.
        queue: The queue's name.
    """

    hub: str
    queue: str

    @property
    def url(self) -> str:
        """The queue's URL, which is all that a client or worker needs."""
        return f"{self.hub}/q/{self.queue}"

    @property
    def client_socket(self) -> str:
        """The websocket that clients of this queue dial."""
        return f"ws{self.url.removeprefix('http')}/client"

    @property
    def page(self) -> str:
        """The page that shows this queue."""
        return f"{self.hub}/#?queue={quote(self.queue)}"

    @property
    def host(self) -> str:
        """Host and port of the hub, for sentences."""
        return urlsplit(self.hub).netloc

    def job_url(self, job: str) -> str:
        """The URL of a job."""
        return f"{self.hub}/j/{job}"

    def absolute(self, url: str) -> str:
        """A URL that the hub gave, which is relative to the hub unless it is absolute."""
        if url.startswith(("http://", "https://")):
            return url
        return f"{self.hub}/{url.removeprefix('/')}"

    def __str__(self) -> str:
        return self.url


def parse_hub(text: str) -> str:
    """The base address of a hub from what people write: ``https://host``, ``ws://host:8000/``, ``host:8000``.

    Raises:
        BadRequest: It is not an address.
    """
    given = (text or os.environ.get(QUEUE_VARIABLE) or "").strip()
    if not given:
        raise BadRequest(f"no queue was named: give its URL, or set {QUEUE_VARIABLE}")
    if "://" not in given:
        given = f"http://{given}"
    try:
        parts = urlsplit(given)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    scheme = _TO_HTTP.get(parts.scheme)
    if scheme is None or not parts.hostname or not port_is_fine or parts.query or parts.fragment:
        raise BadRequest(
            f"'{text}' is not the address of a hub: write it like https://hub.example or http://localhost:8000"
        )
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def check_queue_name(name: str) -> str:
    """The name, when it can be a queue's.

    Raises:
        BadRequest: It can't.
    """
    if QUEUE_NAME.fullmatch(name) is None:
        shown = name if len(name) <= 40 else name[:39] + "…"
        raise BadRequest(f"'{shown}' is not a queue name: a queue name has 1 to 128 letters, digits, '.', '_' or '-'")
    return name


def parse_address(text: str | None = None, hub: str | None = None) -> Address:
    """A queue's address from a URL or from its name.

    Args:
        text: ``https://hub.example/q/<queue>`` (also http, ws, wss, and with a path before ``/q/``), or the name;
            without it the environment variable ``ASMAN_QUEUE``.
        hub: The hub for a bare name; without it the environment variable ``ASMAN_HUB``.

    Raises:
        BadRequest: It can't be read, or a name came without a hub.
    """
    given = (text or os.environ.get(QUEUE_VARIABLE) or "").strip()
    if not given:
        raise BadRequest(f"no queue was named: give its URL, or set {QUEUE_VARIABLE}")
    if "/" not in given and ":" not in given:
        name = check_queue_name(given)
        base = hub or os.environ.get(HUB_VARIABLE)
        if not base:
            raise BadRequest(
                "a queue's name alone does not say which hub it is on: give its whole URL "
                f"(https://hub.example/q/<name>), --hub, or set {HUB_VARIABLE}"
            )
        return Address(parse_hub(base), name)
    before, found, after = given.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/q/")
    if not found or "/" in after:
        raise BadRequest("this is not the URL of a queue: write it like https://hub.example/q/<queue>")
    return Address(parse_hub(before), check_queue_name(unquote(after)))


def new_queue_name() -> str:
    """An unguessable name for a queue: 160 random bits in base32, easy to read aloud and to select."""
    import secrets  # takes as long to import as all else here

    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(secrets.choice(alphabet) for _ in range(32))
