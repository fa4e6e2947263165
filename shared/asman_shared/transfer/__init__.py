"""Moving the bytes of blobs between this machine and where the hub keeps them; the same for clients and workers.

Who sends asks the hub what is missing, sends that, and asks again until nothing is (`upload`). Who reads streams into a
file under a passing name and renames it when its sha256 is right (`download`, `sink`). What breaks on the way goes on
where it was: by asking again, or by a range of what is left. Memory holds the pieces that are on their way and nothing
else, and files are read, hashed and written in threads. Whom to ask is a `Locator`, how to reach addresses is `http`,
and how often to try again is `retry`.
"""

from __future__ import annotations

from .download import Downloader, Wanted
from .http import Http
from .locator import HubLocator, Locator
from .retry import RetryPolicy
from .source import Blob, Progress
from .upload import Uploader

__all__ = ["Blob", "Downloader", "Http", "HubLocator", "Locator", "Progress", "RetryPolicy", "Uploader", "Wanted"]
