"""The parts of the hub that every session needs, and nothing more."""

from __future__ import annotations

from msgspec import Struct, field

from .blobs import BlobService
from .clock import Clock
from .delivery.send_buffer import Flusher
from .job_links import JobLinks
from .limiting import Limiter, unlimited
from .logs.reader import LogReader


class Services(Struct, frozen=True):
    """Shared by all sessions of a hub.

    Attributes:
        blobs: The blob service.
        flusher: Flushes send buffers.
        clock: Returns the current time.
        log_reader: Answers requests for logs.
        links: Makes the addresses of jobs.
        default_image: The image that clients put into jobs that don't name one.
        limiter: Decides what is taken from a sender.
    """

    blobs: BlobService
    flusher: Flusher
    clock: Clock
    log_reader: LogReader
    links: JobLinks
    default_image: str = ""
    limiter: Limiter = field(default_factory=unlimited)
