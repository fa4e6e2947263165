"""The errors of a storage, by their meaning: gone, for now, or until its operator changes something."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from asman_shared.errors import AsmanError, Misconfigured, NotFound, Unavailable

log = logging.getLogger("asman.hub.blobs")

UNREACHABLE: Final = (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError)
"""Errors of a storage that gave no answer."""
TOLD_SECONDS: Final = 60.0
"""Time in which a permanent error is logged once, in seconds."""
_GONE: Final = frozenset({"NoSuchKey", "NoSuchUpload", "404", "NotFound"})
_PASSING: Final = frozenset({"RequestTimeout", "SlowDown", "Throttling", "OperationAborted", "InternalError"})
_PERMANENT: Final = frozenset({400, 401, 403, 404, 405, 411, 501})
"""Statuses of refusals that the same request meets again, unless the code says otherwise."""


class Storage:
    """Turns the errors of one storage into `AsmanError`, and logs permanent ones, each once in a while."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turns the library's errors into `AsmanError`.

        Raises:
            NotFound: The storage does not have the object or upload.
            Misconfigured: The storage refuses for good: only its operator, or the hub's, can help.
            Unavailable: The storage can't do it now.
        """
        try:
            yield
        except ClientError as error:
            made = meaning(error)
            if isinstance(made, Misconfigured):
                self._tell(made, error)
            raise made from (None if isinstance(made, NotFound) else error)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise Misconfigured(f"the hub has no keys for the storage for blobs ({error})") from error
        except UNREACHABLE as error:
            raise Unavailable(f"the storage for blobs can't be reached now ({error}); try again") from error

    def _tell(self, made: Misconfigured, error: ClientError) -> None:
        now = time.monotonic()
        key = f"{error.operation_name}: {made.message}"
        if now - self._told.get(key, float("-inf")) >= TOLD_SECONDS:
            self._told[key] = now
            log.error(
                "the storage for blobs refuses the hub for good",
                extra={"operation": error.operation_name, "error": made.message},
            )


def meaning(error: ClientError) -> AsmanError:
    """Returns the error that a refusal of the storage means."""
    said: dict[str, Any] = error.response.get("Error", {})
    code = str(said.get("Code") or "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    reason = said.get("Message") or code or "no reason given"
    if code == "NoSuchBucket" or (code in _GONE and error.operation_name == "HeadBucket"):
        return Misconfigured("the bucket for blobs does not exist; the hub's operator must create it")
    if code in _GONE:
        return NotFound("the storage does not have this object")
    if status in _PERMANENT and code not in _PASSING:
        return Misconfigured(
            f"the storage for blobs refuses the hub's {error.operation_name} ({status}: {reason}); trying again does "
            "not help, and only the hub's operator can"
        )
    return Unavailable(f"the storage for blobs refused the hub ({reason}); try again")
