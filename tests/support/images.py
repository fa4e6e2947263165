"""The image that tests run jobs in: busybox, made from nothing because no registry is in reach."""

from __future__ import annotations

from devtools import base_image
from devtools.engine import Engine

BUSYBOX = "asman-test/busybox:latest"


def ensure_busybox(engine: Engine) -> str:
    """Make the image unless the engine holds it already; returns its name."""
    return base_image.ensure(engine.host, BUSYBOX)
