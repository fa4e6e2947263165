"""The addresses of hubs and of queues, and the rule for a queue's name.

A queue's name grants everything that can be done with the queue. So errors here show the host, and never the name of
a queue that could be right.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final, NoReturn
from urllib.parse import quote, unquote, urlsplit

from .errors import CLOSE_REASONS, BadRequest, CloseCode

# Patterns are compiled at their first use: that of older names takes as long as the start of a program.
QUEUE_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""Pattern of a queue's name, without anchors. The page's `route.ts` has the same, and a test compares them."""
OLDER_NAME: Final = (
    r"[A-Za-z0-9\u00a0-\ud7ff\ue000-\uffff]"
    r"(?:[A-Za-z0-9\u00a0-\ud7ff\ue000-\uffff ._@+~,()!'&=-]{0,126}[A-Za-z0-9\u00a0-\ud7ff\ue000-\uffff._@+~,()!'&=-])?"
)
"""Pattern of names in addresses, without anchors: those of queues, and those that links of earlier services have. The
page's `route.ts` has the same, and a test compares them."""
QUEUE_KEY: Final = r"~[a-z2-7]{52}"
"""Pattern of a key to a queue, without anchors: no name begins with ``~``. The page's `route.ts` has the same, and a
test compares them."""
ASCII_SPACE: Final = " \t\n\v\f\r"
"""White space around and between addresses, which is no part of them. Other blanks, such as U+00A0 and U+3000, are: an
older name may begin and end with them, and the hub takes them from a path as they are. The page's `route.ts` has the
same rule."""
_TO_HTTP: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_SOCKETS: Final = ("/client", "/worker")
"""Last parts of the addresses of a queue's websockets."""
_SHOWN: Final = 40
"""Number of characters of a wrong name that an error shows."""


class Address:
    """A queue on a hub: a value, which never changes. It is written out, as a dataclass takes a millisecond to make.

    Attributes:
        hub: The hub's base address, ``http(s)://host[:port][/prefix]`` without a slash at its end.
        queue: The queue's name, or a key to it (`asman_shared.keys.derived`). It is a secret: anyone who has it can use
            the queue, or do what the key grants.
    """

    __slots__ = ("hub", "queue")

    hub: str
    queue: str

    def __init__(self, hub: str, queue: str) -> None:
        object.__setattr__(self, "hub", hub)
        object.__setattr__(self, "queue", queue)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an address never changes, nor does its {name}")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__ or not isinstance(other, Address):
            return NotImplemented
        return (self.hub, self.queue) == (other.hub, other.queue)

    def __hash__(self) -> int:
        return hash((self.hub, self.queue))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(hub={self.hub!r}, queue={self.queue!r})"

    def __reduce__(self) -> tuple[type[Address], tuple[str, str]]:
        return self.__class__, (self.hub, self.queue)

    @property
    def is_key(self) -> bool:
        """Whether the address has a key in the place of the queue's name."""
        return is_queue_key(self.queue)

    @property
    def url(self) -> str:
        """The queue's URL, which is all that a client or worker needs."""
        return f"{self.hub}/q/{self.queue}"

    @property
    def client_socket(self) -> str:
        """The address of the websocket for clients of this queue."""
        return f"ws{self.url.removeprefix('http')}/client"

    @property
    def worker_socket(self) -> str:
        """The address of the websocket for workers of this queue."""
        return f"ws{self.url.removeprefix('http')}/worker"

    @property
    def page(self) -> str:
        """The page that shows this queue."""
        return f"{self.hub}/#?queue={quote(self.queue)}"

    @property
    def host(self) -> str:
        """Host and port of the hub, for sentences."""
        return urlsplit(self.hub).netloc

    def job_url(self, job: str, links: str = "") -> str:
        """The URL of a job; with the secret that the hub told (``links``), one that needs no name of a queue."""
        return f"{self.hub}/j/{job_address(job, links)}"

    def absolute(self, url: str) -> str:
        """The absolute form of a URL from the hub, which may be relative to the hub's address."""
        if url.startswith(("http://", "https://")):
            return url
        return f"{self.hub}/{url.removeprefix('/')}"

    def __str__(self) -> str:
        return self.url


def is_queue_name(name: str) -> bool:
    """Whether a text is a valid name of a queue."""
    return re.fullmatch(QUEUE_NAME, name) is not None


def check_queue_name(name: str) -> str:
    """Returns the name if it is a valid name of a queue.

    Raises:
        BadRequest: The name is not valid.
    """
    if not is_queue_name(name):
        shown = name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…"
        raise BadRequest(f"'{shown}' is not a queue name: {CLOSE_REASONS[CloseCode.BAD_QUEUE]}", field="queue")
    return name


def queue_named(name: str) -> str:
    """Returns the queue that a name stands for: itself, or, for a name that only earlier services took, its alias.

    Links of those services have names with spaces, ``@``, ``+`` or umlauts. Such a name stands for the queue
    ``old-<32 hex digits>``, everywhere and always the same: the digits begin the sha256 of the name in UTF-8 (NFC). The
    alias is as hard to guess as the name. The page's `route.ts` has the same rule.

    Raises:
        BadRequest: The name is not valid.
    """
    if is_queue_name(name):
        return name
    if re.fullmatch(OLDER_NAME, name) is None:
        return check_queue_name(name)
    older = unicodedata.normalize("NFC", name)
    return f"old-{hashlib.sha256(older.encode()).hexdigest()[:32]}"


def is_queue_key(text: str) -> bool:
    """Whether a text has the form of a key to a queue; only a hub knows whether it is one."""
    return re.fullmatch(QUEUE_KEY, text) is not None


def queue_or_key(text: str) -> str:
    """Returns the queue that a name stands for (`queue_named`), or a key to a queue as it is.

    Raises:
        BadRequest: The text is neither.
    """
    if is_queue_key(text):
        return text
    if text.startswith("~"):
        raise BadRequest(
            "this is not the key of a queue, which has '~' and then 52 letters and digits: copy the whole address",
            field="queue",
        )
    return queue_named(text)


def trimmed(text: str) -> str:
    """Returns an address without the white space around it, which is that of ASCII alone."""
    return text.strip(ASCII_SPACE)


def words_of(text: str, separators: str = ASCII_SPACE) -> list[str]:
    """Returns the addresses in a list of them, which white space of ASCII or other separators divide."""
    return [word for word in re.split(f"[{re.escape(separators)}]", text) if word]


def parse_hub(text: str) -> str:
    """Reads the base address of a hub: ``https://host``, ``ws://host:8000/``, ``host:8000``.

    Returns:
        ``http(s)://host[:port][/prefix]`` without a slash at its end.

    Raises:
        BadRequest: The text is not an address.
    """
    given = trimmed(text)
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    scheme = _TO_HTTP.get(parts.scheme)
    if scheme is None or not parts.hostname or not port_is_valid or parts.query or parts.fragment:
        shown = "this" if "/q/" in given else f"'{given}'"  # a queue's URL holds the queue's name
        raise BadRequest(
            f"{shown} is not the address of a hub: write it like https://hub.example or http://localhost:8000",
            field="hub",
        )
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def parse_address(text: str, hub: str = "") -> Address:
    """Reads a queue's address from its URL, or from its name and the hub's address.

    Args:
        text: ``https://hub.example/q/<queue>`` (also http, ws, wss, with a path before ``/q/``, or the address of one
            of the queue's websockets), or the bare name. A key may stand in the place of the name.
        hub: The address of the hub, for a bare name.

    Raises:
        BadRequest: The text can't be read, or a bare name was given without a hub.
    """
    given = trimmed(text)
    if "/" not in given and ":" not in given:
        name = queue_or_key(given)
        if not hub:
            raise BadRequest(
                "a queue's name alone does not say which hub it is on: give its whole URL "
                "(https://hub.example/q/<name>), --hub, or set ASMAN_HUB",
                field="hub",
            )
        return Address(parse_hub(hub), name)
    path = given.partition("#")[0].partition("?")[0].rstrip("/")
    for socket in _SOCKETS:
        if "/q/" in (queue := path.removesuffix(socket)) and not queue.endswith("/q"):
            path = queue
    before, found, after = path.rpartition("/q/")
    if not found or "/" in after:
        raise BadRequest("this is not the URL of a queue: write it like https://hub.example/q/<queue>", field="queue")
    return Address(parse_hub(before), queue_or_key(unquote(after)))


# ------------------------------------------------------------------------------------------------ addresses of jobs
#
# {hub}/j/{id}~{key} names a job of one queue, for readers without the queue's name. The key is made from a secret that
# the hub tells to all who have the queue's name: they can make such an address, and nobody can from a job's id alone.

KEY_LENGTH: Final = 32
"""Length of a key, in hex digits: 128 bits."""


def job_key(links: str, job: str) -> str:
    """Returns the key in the address of a job.

    Args:
        links: The queue's secret for such keys, as in `asman_shared.messages.Welcome.links`.
        job: The job's id.
    """
    import hmac  # most programs make no such address

    return hmac.new(links.encode(), job.encode(), hashlib.sha256).hexdigest()[:KEY_LENGTH]


def job_address(job: str, links: str) -> str:
    """Returns the last part of a job's address: ``{id}~{key}``, or the id alone if the hub told no secret."""
    return f"{job}~{job_key(links, job)}" if links else job
