"""The address of a queue as a person names it: an argument, or the environment."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final
from urllib.parse import parse_qs, quote

from asman_shared import address
from asman_shared.address import check_queue_name, parse_hub, trimmed
from asman_shared.errors import BadRequest

__all__ = ["Address", "check_queue_name", "new_queue_name", "parse_address", "parse_hub"]

HUB_VARIABLE: Final = "ASMAN_HUB"
QUEUE_VARIABLE: Final = "ASMAN_QUEUE"
VARIABLES: Final = (
    QUEUE_VARIABLE, HUB_VARIABLE, "ASMAN_QUEUE_FILE", "ASMAN_IMAGE", "ASMAN_CONFIG", "ASMAN_CONFIG_HOME", "ASMAN_DEBUG"
)  # fmt: skip
"""The environment variables of programs and commands; hubs and workers have a variable for each setting besides."""
_FAMILY: Final = "ASMAN_"
_NEAR: Final = 0.66
"""Likeness, from 0 to 1, from which on the rest of a variable's name counts as mistyped."""
_LOOKED_AT: Final = 10_000
"""Largest number of environment variables that are looked at."""


class Address(address.Address):
    """A queue on a hub (`asman_shared.address.Address`); its `repr` leaves out the name, which grants everything."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Address(on {self.host}, {'a key' if self.is_key else 'a queue'})"


def parse_address(text: str | None = None, hub: str | None = None) -> Address:
    """Reads a queue's address from its URL or from its name.

    Args:
        text: As for `asman_shared.address.parse_address`, or the address of the page that shows the queue, or ``@name``
            for this user's own name for it; without it the environment variable ``ASMAN_QUEUE``.
        hub: The hub for a bare name; without it the environment variable ``ASMAN_HUB``.

    Raises:
        BadRequest: The address can't be read, or a name came without a hub.
        NotFound: This user has no queue with that ``@name``.
        OSError: The file with this user's names can't be read.
    """
    for name, value in (("address", text), ("hub", hub)):
        if value is not None and not isinstance(value, str):
            from .arguments import wrong  # it loads much, for this error alone

            raise wrong(name, value, "the queue's URL or name" if name == "address" else "the hub's URL")
    given = trimmed(text or os.environ.get(QUEUE_VARIABLE) or "")
    if not given:
        near = next((f" (there is {name})" for name, meant in mistyped() if meant == QUEUE_VARIABLE), "")
        raise BadRequest(f"no queue was named: give its URL, or set {QUEUE_VARIABLE}{near}")
    if given.startswith("@"):
        known = import_module("asman.cli.known")  # most programs name a queue by its URL
        given = str(known.named(given[1:]))
    found = address.parse_address(_of_page(given), hub or os.environ.get(HUB_VARIABLE) or "")
    return Address(found.hub, found.queue)


def mistyped() -> list[tuple[str, str]]:
    """Returns the environment variables that nearly have the name of one of `VARIABLES`, each with that name."""
    given = [name for name in sorted(os.environ)[:_LOOKED_AT] if name.upper().startswith(_FAMILY)]
    found = []
    for name in given:
        if name.upper() not in VARIABLES or name != name.upper():
            from difflib import get_close_matches  # slow to import, and most environments have no such name

            rests = [each.removeprefix(_FAMILY) for each in VARIABLES]
            if near := get_close_matches(name.upper().removeprefix(_FAMILY), rests, 1, _NEAR):
                found.append((name, f"{_FAMILY}{near[0]}"))
    return found


def parse_argument(text: str | None, hub: str | None) -> Address:
    """Reads an address as `parse_address` does; the error for a bare name has the argument, not the option, for a hub.

    Raises:
        BadRequest: As for `parse_address`, or the file with this user's names can't be read.
        NotFound: As for `parse_address`.
    """
    try:
        return parse_address(text, hub)
    except BadRequest as error:
        raise BadRequest(error.message.replace("--hub", "hub=…"), field=error.field) from None
    except OSError as error:
        raise BadRequest(f"the names of your queues can't be read: {error}", field="queue") from error


def _of_page(given: str) -> str:
    """Returns the URL of the queue that the address of a hub's page shows; any other text as it is."""
    page, _, place = given.partition("#")
    queues = parse_qs(place.partition("?")[2]).get("queue", [])
    if "://" not in page or "/q/" in page or len(queues) != 1:
        return given
    return f"{page.partition('?')[0].rstrip('/')}/q/{quote(queues[0])}"


def new_queue_name() -> str:
    """Returns an unguessable name for a queue: 160 random bits in base32, easy to read aloud and to select."""
    import secrets  # takes as long to import as all else here

    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(secrets.choice(alphabet) for _ in range(32))
