"""Decides which executor a worker uses where its operator leaves that to the machine."""

from __future__ import annotations

import logging
import os
from typing import Final

from asman_shared.errors import Unavailable

from ..config import WorkerConfig
from ..images.engine import close_engine, open_engine

log = logging.getLogger("asman.worker.oci")

WITHOUT_ENGINE: Final = ("oci", "bubblewrap")
"""Executors that run containers without an engine."""


async def choose_executor(config: WorkerConfig) -> tuple[str, str]:
    """Returns the executor that a configuration means, and for ``auto`` the reason why no engine is used.

    An engine that the operator names is meant, also while it does not answer. Jobs never run outside a container unless
    the operator says so.
    """
    if config.executor != "auto":
        return config.executor, ""
    if config.docker or os.environ.get("DOCKER_HOST"):
        return "docker", ""
    try:
        docker, _ = await open_engine()
    except Unavailable as error:
        log.info("no container engine answers, so containers run without one (--executor auto)")
        return "oci", error.message
    await close_engine(docker)
    return "docker", ""
