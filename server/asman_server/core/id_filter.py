"""A Bloom filter of job ids.

A set of millions of ids would take hundreds of megabytes. See Bloom, Space/time trade-offs in hash coding with
allowable errors, 1970. Ids are hashes already, so their digits serve as the hash functions.
"""

from __future__ import annotations

from typing import Final

BITS: Final = 2**23
"""Size in bits (1 MiB). With 1,000,000 ids, 1 in 40 others is taken for a member; with 100,000, 1 in 200,000."""
_HASHES: Final = 4
_SHIFT: Final = 24
_MASK: Final = BITS - 1


class IdFilter:
    """A set of ids that may contain others by mistake; it takes no memory before the first id is added."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits: bytearray | None = None

    def add(self, job_id: str) -> None:
        """Adds an id, which can't be removed."""
        if self._bits is None:
            self._bits = bytearray(BITS // 8)
        bits, number = self._bits, _number(job_id)
        for _ in range(_HASHES):
            bits[(number & _MASK) >> 3] |= 1 << (number & 7)
            number >>= _SHIFT

    def __contains__(self, job_id: str) -> bool:
        """Whether an id may have been added; false is certain."""
        bits = self._bits
        if bits is None:
            return False
        number = _number(job_id)
        for _ in range(_HASHES):
            if not bits[(number & _MASK) >> 3] >> (number & 7) & 1:
                return False
            number >>= _SHIFT
        return True


def _number(job_id: str) -> int:
    """Returns the first digits of an id, a sha256 in hex, as a number; other texts count by their characters."""
    try:
        return int(job_id[:24], 16)
    except ValueError:
        return int.from_bytes(job_id.encode("utf-8", "surrogatepass")[-12:], "big")
