"""The parts of the hub that every session needs, and nothing more."""

from __future__ import annotations

from msgspec import Struct

from .blobs import BlobService
from .clock import Clock
from .delivery.send_buffer import Flusher
from .logs.reader import LogReader


class Services(Struct, frozen=True):
    """Shared by all sessions of a hub.

    Attributes:
        blobs: Where blobs are asked for.
        flusher: Flushes send buffers.
        clock: Now.
        log_reader: Answers what is asked of logs.
        default_image: What clients put into jobs of people who name no image.
    """

    blobs: BlobService
    flusher: Flusher
    clock: Clock
    log_reader: LogReader
    default_image: str = ""
