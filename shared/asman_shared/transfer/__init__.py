"""Moves the bytes of blobs between this machine and the hub's store; the same for clients and workers.

A sender asks the hub for the missing bytes, sends them, and asks again until none are missing (`upload`). A reader
streams into a file with a temporary name and renames the file when its sha256 is right (`download`, `sink`). An
interrupted transfer resumes: an upload by asking again, a download by requesting the remaining range. Memory holds only
the pieces that are being transferred. Files are read, hashed and written in threads. `locator` is the interface that
gives addresses, `http` reaches them, `address_guard` refuses those that a stranger must not have fetched, and `retry`
decides on further tries.
"""

from __future__ import annotations

from .download import Downloader, Wanted
from .http import Http
from .locator import HubLocator, Locator
from .retry import RetryPolicy
from .source import Blob, Progress
from .upload import Uploader

__all__ = ["Blob", "Downloader", "Http", "HubLocator", "Locator", "Progress", "RetryPolicy", "Uploader", "Wanted"]
