"""Reads the credentials of registries; they stay on this machine.

The file has the form that engines' command lines write (``~/.docker/config.json``): ``{"auths": {"hub.example":
{"auth": base64("user:password")}}}``, or with ``username`` and ``password`` written out, or with an ``identitytoken``.
It is used only if the operator names it: anyone who can submit a job can then run every image that it gives access to.
It is read at each use, so that a token may be renewed while the worker runs.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import BadRequest

from .reference import DEFAULT_REGISTRY

_LARGEST: Final = 1024 * 1024
_HUB_NAMES: Final = (
    f"https://index.{DEFAULT_REGISTRY}/v1/",
    f"index.{DEFAULT_REGISTRY}",
    DEFAULT_REGISTRY,
    f"registry-1.{DEFAULT_REGISTRY}",
)


class Credentials:
    """Logins by registry.

    Args:
        path: The file; None for none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def of(self, registry: str) -> dict[str, str] | None:
        """Returns the engine's credentials for a registry (its ``AuthConfig``), or None without a login.

        Raises:
            BadRequest: The file can't be read.
        """
        if self._path is None:
            return None
        known = self._read(self._path)
        names = _HUB_NAMES if registry == DEFAULT_REGISTRY else (registry, f"https://{registry}", f"http://{registry}")
        for name in names:
            for written in (name, f"{name}/"):
                if isinstance(entry := known.get(written), dict):
                    return _auth_config(entry, registry)
        return None

    def check(self) -> None:
        """Reads the file once, to find its faults at the start.

        Raises:
            BadRequest: The file can't be read.
        """
        if self._path is not None:
            self._read(self._path)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"it is larger than {_LARGEST} bytes")
            auths: dict[str, Any] = dict(json.loads(path.read_bytes()).get("auths", {}))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            # The error never contains the file's text, which is secret.
            why = error.strerror if isinstance(error, OSError) else "it is not what `docker login` writes"
            raise BadRequest(
                f"the registry credentials in {path} can't be read: {why}", field="registry_auth"
            ) from None
        return auths


def _auth_config(entry: dict[str, Any], registry: str) -> dict[str, str]:
    made = {"serveraddress": registry}
    if token := entry.get("identitytoken"):
        return {**made, "identitytoken": str(token)}
    if (packed := entry.get("auth")) and isinstance(packed, str):
        try:
            user, _, password = base64.b64decode(packed, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        return {**made, "username": user, "password": password.rstrip("\0")}
    return {**made, "username": str(entry.get("username", "")), "password": str(entry.get("password", ""))}


def encoded(auth: dict[str, str]) -> str:
    """Returns an ``AuthConfig`` in the form of the engine's header."""
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()
