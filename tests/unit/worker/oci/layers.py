"""Layers of images for tests, with whatever a hostile one may hold."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A member of a layer.

    Attributes:
        name: Its name, as it stands in the archive.
        kind: ``file``, ``folder``, ``link``, ``hard``, ``pipe`` or ``device``.
        content: The content of a file, or the target of a link.
        mode: Its permissions.
        uid: Its owner.
    """

    name: str
    kind: str = "file"
    content: str = ""
    mode: int = 0o644
    uid: int = 0


_KINDS = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "device": tarfile.BLKTYPE,
}


def layer(*entries: Entry) -> bytes:
    """Returns the archive of a layer, not compressed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for each in entries:
            about = tarfile.TarInfo(each.name)
            about.type, about.mode, about.uid, about.gid = _KINDS[each.kind], each.mode, each.uid, each.uid
            if each.kind == "file":
                data = each.content.encode()
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
            else:
                about.linkname = each.content
                about.devmajor, about.devminor = 8, 0
                tar.addfile(about)
    return packed.getvalue()


def files(names: Sequence[str]) -> list[Entry]:
    """Returns files whose content is their name."""
    return [Entry(name, content=name) for name in names]
