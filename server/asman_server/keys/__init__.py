"""Finds the queue that a key belongs to, and keeps the hashes of the keys with which that is possible.

Way in: `Keys`. `docs/keys.md` describes keys for their users.
May import: `storage` and all below, see the layers in `pyproject.toml`.
"""

from .keys import Keys

__all__ = ["Keys"]
