"""Calls to a container engine's HTTP API that the set-up needs, with the standard library only.

The worker speaks to engines through aiodocker; this module is for the time before anything is installed.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

DEFAULT_SOCKET = Path("/var/run/docker.sock")


class EngineError(Exception):
    """Raised when the engine can't be reached or refuses a request."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(host: str, timeout: float) -> http.client.HTTPConnection:
    url = urlsplit(host)
    if url.scheme == "unix":
        return _UnixConnection(url.path, timeout)
    if url.scheme in ("tcp", "http") and url.hostname:
        return http.client.HTTPConnection(url.hostname, url.port or 2375, timeout=timeout)
    raise EngineError(f"an engine at {host!r} is not one these scripts can speak to: unix:// and tcp:// only")


def call(
    host: str,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    *,
    timeout: float = 60,
    **query: str,
) -> bytes:
    """Make one request and return the answer's body.

    Args:
        host: As in ``DOCKER_HOST``: ``unix:///path`` or ``tcp://name:port``.
        method: ``GET``, ``POST``, ``DELETE``.
        path: The path, which starts with ``/``.
        body: Bytes to send; an iterable is sent in chunks.
        timeout: Longest silence of the engine, in seconds.
        query: Query parameters.

    Raises:
        EngineError: No answer in time, or a status of 400 and above; holds the engine's own sentence.
    """
    connection = _connection(host, timeout)
    try:
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Content-Type": "application/x-tar"} if body is not None else {}
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"no answer from the engine at {host}: {error}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise EngineError(_sentence(content) or f"the engine answered {answer.status} to {method} {path}")
    return content


def _sentence(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip()


def answers(host: str, timeout: float = 5) -> bool:
    """Whether an engine answers at an address."""
    try:
        return call(host, "GET", "/_ping", timeout=timeout).strip() == b"OK"
    except EngineError:
        return False


def reachable() -> str | None:
    """Return the engine that this environment already offers: ``DOCKER_HOST``, else the usual socket."""
    named = os.environ.get("DOCKER_HOST")
    if named:
        return named if answers(named) else None
    usual = f"unix://{DEFAULT_SOCKET}"
    return usual if DEFAULT_SOCKET.exists() and answers(usual) else None


def info(host: str) -> dict[str, Any]:
    """Return the engine's description of itself."""
    found: dict[str, Any] = json.loads(call(host, "GET", "/info"))
    return found


def kill_containers(host: str) -> None:
    """Kill the containers of an engine that is about to be stopped; failures are left to the engine."""
    with suppress(EngineError):
        for container in json.loads(call(host, "GET", "/containers/json")):
            with suppress(EngineError):
                call(host, "POST", f"/containers/{container['Id']}/kill")


def has_image(host: str, name: str) -> bool:
    """Whether the engine has an image, so that none has to be pulled."""
    try:
        call(host, "GET", f"/images/{quote(name)}/json")
    except EngineError:
        return False
    return True


def import_image(host: str, name: str, root: bytes, changes: Iterable[str] = ()) -> None:
    """Make an image of one layer from the tar of a root folder.

    Args:
        host: The engine.
        name: ``repository:tag``.
        root: The tar.
        changes: Dockerfile instructions for the image's configuration, such as ``CMD ["sh"]``.
    """
    repository, _, tag = name.rpartition(":")
    query = [
        ("fromSrc", "-"),
        ("repo", repository),
        ("tag", tag),
        *(("changes", change) for change in changes),
    ]
    progress = call(host, "POST", f"/images/create?{urlencode(query)}", root)
    _raise_if_failed(progress)


def pull_image(host: str, name: str, timeout: float) -> None:
    """Pull an image from a registry.

    Args:
        host: The engine.
        name: ``repository:tag``.
        timeout: Silence after which the registry counts as out of reach, in seconds.
    """
    repository, _, tag = name.rpartition(":")
    _raise_if_failed(call(host, "POST", "/images/create", timeout=timeout, fromImage=repository, tag=tag))


def _raise_if_failed(progress: bytes) -> None:
    for line in progress.splitlines():
        step = json.loads(line)
        if "error" in step:
            raise EngineError(str(step["error"]))
