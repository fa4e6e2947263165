"""The front of a hub: its own certificate, and what trusted proxies before it say about a request."""

from __future__ import annotations

from .certificate import Certificate
from .own_address import address_of, sender
from .proxies import PREFIX, TrustedProxies, parse_trusted

__all__ = ["PREFIX", "Certificate", "TrustedProxies", "address_of", "parse_trusted", "sender"]
