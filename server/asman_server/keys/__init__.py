"""Finds the queue that a key belongs to, and keeps the hashes of the keys with which that is possible.

Way in: `Keys`. May import: `storage`, `access`, `clock`; `docs/keys.md` describes keys for their users.
"""

from .keys import Keys

__all__ = ["Keys"]
