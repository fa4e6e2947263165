"""Fetching an archive that a job names: each step judged before it is connected to, bounded, and streamed to disk."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from asman_shared.errors import ExecutionError
from asman_shared.units import KIB, format_size

from .addresses import AddressGuard

_CHUNK: Final = 256 * KIB
_REDIRECTS: Final = 8
_STALL_SECONDS: Final = 60.0


class _Pinned(AbstractResolver):
    """Resolves a name to the addresses that were judged, and to no others."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def download(url: str, target: Path, guard: AddressGuard, *, most: int) -> str:
    """Fetches a file; returns the sha256 of its bytes.

    Raises:
        ExecutionError: It can't be had, may not be fetched, or is too large; the error says whose fault it is.
    """
    try:
        for _ in range(_REDIRECTS):
            answer = await _step(url, target, guard, most)
            if answer.startswith("sha256:"):
                return answer.removeprefix("sha256:")
            url = urljoin(url, answer)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ExecutionError(
            f"the archive could not be fetched: {str(error) or 'it stalled'}", fault="worker"
        ) from error
    raise ExecutionError(f"the archive could not be fetched: more than {_REDIRECTS} redirects")


async def _step(url: str, target: Path, guard: AddressGuard, most: int) -> str:
    """One request: where it is redirected to, or ``sha256:`` and the hash of what came."""
    async with pinned_session(await guard.check(url)) as session, session.get(url, allow_redirects=False) as answer:
        if answer.status in (301, 302, 303, 307, 308) and (there := answer.headers.get("Location")):
            return there
        if answer.status != 200:
            gone = answer.status in (401, 403, 404, 410)
            raise ExecutionError(
                f"the archive could not be fetched: the server answered {answer.status}",
                fault="job" if gone else "worker",
            )
        return f"sha256:{await _save(answer, target, most)}"


def pinned_session(judged: tuple[str, int, list[str]]) -> aiohttp.ClientSession:
    """A session that connects to judged addresses only."""
    connector = aiohttp.TCPConnector(resolver=_Pinned(judged[2]), use_dns_cache=False)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=_STALL_SECONDS)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"User-Agent": "asman-worker"})


async def _save(answer: aiohttp.ClientResponse, target: Path, most: int) -> str:
    digest = hashlib.sha256()
    size = 0
    with target.open("wb") as out:
        async for data in answer.content.iter_chunked(_CHUNK):
            size += len(data)
            if size > most:
                raise ExecutionError(f"the archive is larger than {format_size(most)}")
            await asyncio.to_thread(_take, out, digest, data)
    return digest.hexdigest()


def _take(out: Any, digest: hashlib._Hash, data: bytes) -> None:
    digest.update(data)
    out.write(data)
