"""What is decided before an image's layers are fetched."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.oci.image_store import ImageStore
from asman_worker.oci.images import OciImages
from asman_worker.oci.manifests import Blob, Manifest

NOBODY: Any = None
"""A registry that must not be asked, and a progress of nothing."""


async def test_layers_for_which_there_is_no_room_are_not_fetched(tmp_path: Path) -> None:
    images = object.__new__(OciImages)
    images._store = ImageStore(tmp_path, most=10**6)
    layers = (Blob(f"sha256:{'a' * 64}", 10**15), Blob(f"sha256:{'b' * 64}", 1))
    manifest = Manifest(f"sha256:{'c' * 64}", Blob(f"sha256:{'d' * 64}", 1), layers)
    async with contextlib.AsyncExitStack() as held:
        with pytest.raises(ExecutionError, match=r"there is room for 976\.6 KiB") as refused:
            await images._fetch(NOBODY, manifest, NOBODY, held)
    assert refused.value.fault == "worker"
