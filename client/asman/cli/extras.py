"""Checks for the optional parts of Asman, the hub and the worker."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_NEEDS: Final = {
    "hub": ("starlette", "uvicorn", "sqlalchemy", "pydantic_settings"),
    "worker": ("aiodocker", "psutil", "pydantic_settings"),
}
"""Packages that show whether an extra is installed."""


def require(*extras: str) -> None:
    """Checks that the packages of these extras are installed.

    Raises:
        Conflict: Some packages are missing; the message says what to install.
    """
    from asman_shared.errors import Conflict

    lacking = [extra for extra in extras if any(find_spec(package) is None for package in _NEEDS[extra])]
    if lacking:
        names = ",".join(lacking)
        raise Conflict(
            f"this needs packages that are not installed: in the clone of Asman, run  pip install '.[{names}]'"
        )
