"""Limits on the use of a hub by strangers: by address, by key and by queue.

- `rates`: rates and numbers, as the settings have them
- `senders`: the networks to which an address belongs, and the addresses that have no limits
- `buckets`: token buckets and counts, in bounded memory
- `limiter`: decides what is taken, and says how long to wait otherwise
- `idle`: bounds the connections of a sender that have no request
- `requests`: counts the HTTP requests of a sender

Way in: `Limiter`. `docs/limits.md` describes limits for users and operators.
May import: `access` and all below, see the layers in `pyproject.toml`.
"""

from .limiter import Limiter, unlimited
from .rates import Limits
from .requests import LimitedRequests

__all__ = ["LimitedRequests", "Limiter", "Limits", "unlimited"]
