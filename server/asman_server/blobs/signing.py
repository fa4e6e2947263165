"""Signed URLs that allow one request for a limited time, by an HMAC over method, path and expiry."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import urlencode

from asman_shared.errors import Forbidden

SECRET_BYTES = 32
"""Length of the hub's secret, in bytes."""


def load_secret(path: Path) -> bytes:
    """Reads the hub's secret, or creates it so that only its owner can read it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        secret = secrets.token_bytes(SECRET_BYTES)
        part = path.with_suffix(".new")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return secret


class Signer:
    """Makes and checks signed paths.

    Args:
        secret: A secret of this hub, or of all hubs of one installation.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _signature(self, method: str, path: str, expires: int, extra: str) -> str:
        text = "\n".join((method, path, str(expires), extra)).encode()
        digest = hmac.new(self._secret, text, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def sign(self, method: str, path: str, *, expires: int, extra: str = "") -> str:
        """Signs a path for ``method`` until ``expires`` (epoch seconds)."""
        query = {"expires": str(expires), "signature": self._signature(method, path, expires, extra)}
        if extra:
            query["for"] = extra
        return f"{path}?{urlencode(query)}"

    def check(self, method: str, path: str, query: dict[str, str], *, now: float) -> str:
        """Checks a signed path and returns its ``extra``.

        Raises:
            Forbidden: The signature is missing, wrong or expired.
        """
        extra = query.get("for", "")
        try:
            expires = int(query["expires"])
            given = query["signature"]
        except (KeyError, ValueError):
            raise Forbidden("this address needs a signature; ask the hub for a signed one") from None
        if not hmac.compare_digest(given.encode(), self._signature(method, path, expires, extra).encode()):
            raise Forbidden("the signature of this address is wrong")
        if now > expires:
            raise Forbidden("this address has expired; ask the hub for a new one")
        return extra
