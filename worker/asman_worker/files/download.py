"""Fetches an archive that a job names: redirects are checked, the size is limited, and the bytes go to disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from asman_shared.errors import AsmanError, ExecutionError
from asman_shared.transfer import Downloader, RetryPolicy, Wanted
from asman_shared.transfer.address_guard import AddressGuard
from asman_shared.transfer.retry import UNKNOWN_TRIES
from asman_shared.transfer.sink import FileSink

_RETRY_POLICY: Final = RetryPolicy(tries=4, unknown=UNKNOWN_TRIES)


async def download(url: str, target: Path, guard: AddressGuard, *, most: int, what: str = "the archive") -> str:
    """Fetches a file; returns the sha256 of its bytes.

    Args:
        url: Its address.
        target: Its place on the disk.
        guard: Checks the address and those of redirects.
        most: Largest size, in bytes.
        what: The file, as errors name it.

    Raises:
        ExecutionError: The file can't be fetched, must not be fetched, or is too large; the error names the fault.
    """

    async def where() -> str:
        return url

    http = guard.http()
    sink = FileSink(target)
    try:
        wanted = Wanted(where, most=most, renewable=False)
        await Downloader(http, asyncio.Semaphore(), _RETRY_POLICY).fetch(wanted, sink)
        digest = await sink.settle()
        await sink.rename(target)
    except ExecutionError:
        raise
    except AsmanError as error:
        fault = "worker" if error.retry else "job"
        raise ExecutionError(f"{what} could not be fetched: {error.message}", fault=fault) from error
    except OSError as error:
        why = error.strerror or error
        raise ExecutionError(f"the worker can't write {what} to its disk: {why}", fault="worker") from error
    finally:
        await sink.discard()
        await http.close()
    return digest
