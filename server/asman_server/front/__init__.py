"""The front of a hub: its own certificate, and what trusted proxies before it say about a request.

May import: the hub's root helpers.
"""

from __future__ import annotations

from .certificate import Certificate
from .outward import address_for_others
from .own_address import address_of, is_own_machine, sender
from .proxies import PREFIX, TrustedProxies, parse_trusted

__all__ = [
    "PREFIX",
    "Certificate",
    "TrustedProxies",
    "address_for_others",
    "address_of",
    "is_own_machine",
    "parse_trusted",
    "sender",
]
