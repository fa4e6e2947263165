"""The networks to which the address of a sender belongs, and the addresses that have no limits."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from ..front.proxies import Network

REMEMBERED: Final = 4096
"""Number of addresses of which the networks are remembered."""
WIDER: Final = 16
"""Number of addresses, or of the smallest networks of IPv6, for which the next wider network stands in limits."""
UNKNOWN: Final = "unknown"
"""Stands for the senders whose address nobody has named."""


@lru_cache(REMEMBERED)
def group_of(address: str) -> str:
    """Returns the party for which an address counts: itself, or the /64 network of an address of IPv6.

    Whoever has one address of IPv6 has its whole network.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(IPv6Network((found, 64), strict=False))
    return str(found)


@lru_cache(REMEMBERED)
def groups_of(group: str) -> tuple[tuple[str, int], ...]:
    """Returns the parties for which a `group_of` counts, each with the number of groups that it stands for.

    A /48 network of IPv6, as providers hand out, has 65,536 groups and the limits of `WIDER` of them.
    """
    if ":" not in group:
        return ((group, 1),)
    wider = IPv6Network(group).supernet(new_prefix=48)
    return ((group, 1), (str(wider), WIDER))


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Returns whether an address belongs to one of some networks."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return any(found.ipv4_mapped in network for network in networks)
    return any(found in network for network in networks)
