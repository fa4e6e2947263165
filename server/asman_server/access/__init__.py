"""Rights: what a key to a queue grants, and what each request and message needs.

- `rights`: the rights, and what a key grants
- `table`: the right that each request and message needs, for all doors
- `shown`: the part of a definition that a key may see

`asman_server.keys` finds the queue that a key belongs to.
May import: `front` and all below, see the layers in `pyproject.toml`.
"""

from .rights import ALL_RIGHTS, Access, Right, access

__all__ = ["ALL_RIGHTS", "Access", "Right", "access"]
