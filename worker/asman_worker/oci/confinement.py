"""The parts of a container's configuration that depend on who runs it: namespaces, ids and control group."""

from __future__ import annotations

from typing import Any, Final

from .cgroups import Layout, Limits
from .rootless.ids import Ids

INIT: Final = "/dev/asman-init"
"""Place of a container's first process, in a folder that is the container's own: it hides no file of the image."""
_NAMESPACES: Final = ("pid", "network", "ipc", "uts", "mount", "cgroup")


def confined(
    layout: Layout, ids: Ids | None, limits: Limits, group: str, user: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Returns the namespaces, ids and control group of a container (OCI runtime specification, ``linux``).

    Args:
        layout: The control groups of this machine.
        ids: The ids of an ordinary user's containers; None for root's.
        limits: Its limits.
        group: The path of its control group.
        user: The user and group of its command.
    """
    namespaces = [{"type": each} for each in _NAMESPACES]
    if ids is None:
        return {"namespaces": namespaces, "cgroupsPath": group, "resources": layout.resources(limits)}
    uids, gids = ids.mappings(*user)
    return {"namespaces": [{"type": "user"}, *namespaces], "uidMappings": uids, "gidMappings": gids}
