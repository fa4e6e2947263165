"""The hub's own certificate: it is loaded again when its files change, while connections stay as they are."""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from asman_shared.errors import Misconfigured
from asman_shared.units import MIB

from ..clock import Clock, wall_clock

log = logging.getLogger("asman.hub")

LOOK_SECONDS: Final = 2.0
"""Time between two looks at the files, in seconds."""
FILE_BYTES: Final = MIB
"""Largest file with a certificate or key, in bytes."""
WARN_SECONDS: Final = 14 * 86_400
"""Time before the end of a certificate from which the log tells of it, in seconds."""
_TELL_SECONDS: Final = 86_400
"""Time between two lines of the log about the end of a certificate, in seconds."""
_NAMES: Final = 10
"""Largest number of names that the log shows."""
_ENCRYPTED: Final = "the key is encrypted"


class _Pair(NamedTuple):
    """A certificate and its key, ready to use.

    Attributes:
        context: For handshakes.
        expires: The first end of a certificate in the chain, in seconds since 1970.
        names: The hosts that it is for.
    """

    context: ssl.SSLContext
    expires: float
    names: list[str]


Seen = tuple[tuple[int, ...], ...]
"""The state of the files by which a change is noticed."""


class Certificate:
    """A certificate and its key, from two files that may change.

    Args:
        chain: File with the certificate and those that lead to its authority, in PEM.
        key: File with its key, in PEM and not encrypted. It may be the same file.
        clock: Returns the current time.

    Attributes:
        context: For the server: each handshake takes the newest pair that could be loaded.
        failing: Why the files can't be used now; empty while what they hold is used.

    Raises:
        Misconfigured: The files can't be used.
    """

    def __init__(self, chain: Path, key: Path, clock: Clock = wall_clock) -> None:
        self._chain = chain
        self._key = key
        self._clock = clock
        self._seen = self._look()
        self._pair = self._load()
        self._told = float("-inf")
        self.failing = ""
        self.context = self._load().context
        self.context.sni_callback = self._choose

    @property
    def expires(self) -> float:
        """The end of the certificate that is used, in seconds since 1970."""
        return self._pair.expires

    async def look_after(self) -> None:
        """Loads the files again when they have changed, and tells of a near end; runs until it is cancelled."""
        log.info("the certificate is loaded", extra=self._about())
        self._tell_end()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Looks at the files once."""
        seen = await asyncio.to_thread(self._look)
        if seen != self._seen:
            self._seen = seen
            self.failing = await asyncio.to_thread(self._load_again)
            if self.failing:
                told = {"reason": self.failing, **self._about()}
                log.error("the certificate has changed and can't be used; the earlier one stays", extra=told)
            else:
                self._told = float("-inf")
                log.info("the certificate has changed and is loaded again", extra=self._about())
        self._tell_end()

    def _load_again(self) -> str:
        """Loads the files; returns why they can't be used, empty if they can."""
        try:
            self._pair = self._load()
        except Misconfigured as error:
            return error.message
        return ""

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Gives a handshake the newest pair. OpenSSL asks for it also when the client names no host."""
        connection.context = self._pair.context

    def _about(self) -> dict[str, object]:
        return {"names": " ".join(self._pair.names), "expires": _day(self._pair.expires)}

    def _tell_end(self) -> None:
        now = self._clock() / 1000
        left = self._pair.expires - now
        if left > WARN_SECONDS or now - self._told < _TELL_SECONDS:
            return
        self._told = now
        if left <= 0:
            log.error("the certificate has expired: clients refuse this hub", extra=self._about())
        else:
            log.warning("the certificate expires soon: %s", _day(self.expires), extra=self._about())

    def _look(self) -> Seen:
        """Returns the present state of the files."""
        return tuple(_state(file) for file in (self._chain, self._key))

    def _load(self) -> _Pair:
        """Loads the files.

        Raises:
            Misconfigured: They can't be used.
        """
        text = _read(self._chain, "certificate")
        _read(self._key, "key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._chain, self._key, password=_refuse_password)
        except (OSError, ValueError) as error:
            raise Misconfigured(self._reason(error)) from None
        return _Pair(context, *_facts(text, self._chain))

    def _reason(self, error: Exception) -> str:
        """Returns the sentence for an error of OpenSSL."""
        if str(error) == _ENCRYPTED:
            return f"the key in {self._key} is encrypted: give one without a password, which only the hub may read"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return f"the key in {self._key} is not that of the certificate in {self._chain}"
        return f"{self._chain} and {self._key} are not a certificate and its key, both in PEM"


def _refuse_password() -> str:
    raise ValueError(_ENCRYPTED)


def _state(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(file: Path, what: str) -> bytes:
    """Reads a file that may have any content, but no more than a megabyte."""
    try:
        if not file.is_file():
            raise Misconfigured(f"there is no file {file} with the {what}")
        with file.open("rb") as opened:
            text = opened.read(FILE_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"the file {file} with the {what} can't be read: {error.strerror}") from None
    if len(text) > FILE_BYTES:
        raise Misconfigured(f"the file {file} is too large to be a {what}")
    return text


def _facts(text: bytes, file: Path) -> tuple[float, list[str]]:
    """Returns the first end of the certificates in a chain, and the names that the first is for."""
    from cryptography import x509  # takes a while to load, and only hubs with a certificate need it

    try:
        chain = x509.load_pem_x509_certificates(text)
        ends = min(each.not_valid_after_utc for each in chain)
    except ValueError:
        raise Misconfigured(f"the certificate in {file} can't be read") from None
    try:
        found = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(each.value) for each in found][:_NAMES]
    except Exception as error:  # of many kinds; the names are for the log alone
        log.debug("the names of a certificate can't be read", extra={"error": str(error)})
        names = []
    return ends.timestamp(), names


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
