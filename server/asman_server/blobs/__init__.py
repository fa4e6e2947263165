"""Blobs: bytes named by their sha256, stored once, sent and read at signed addresses.

A *catalogue* in the database is the truth about what is stored (`catalogue`). The bytes are in a *store* (`store`): a
folder that the hub itself serves (`folder`, `multipart`), or any S3, where they never pass the hub (`s3`). The
*service* (`service`) is where sessions and HTTP ask: it brings the two together, so that nothing is said to be stored
before it is verified and durable. What nobody has used for a while, and nothing names, is collected (`collect`).

Way in: `BlobService`, `Collector`, `Catalogue`. May import: `storage`, `delivery`, `core`, and the hub's root helpers.
"""

from .catalogue import Catalogue
from .collect import Collector
from .folder import FolderStore
from .quota import Quota
from .s3 import S3Store
from .s3_settings import S3Settings
from .service import BlobService
from .store import BLOB_BYTES, TICKET_SECONDS, BlobStore

__all__ = [
    "BLOB_BYTES",
    "TICKET_SECONDS",
    "BlobService",
    "BlobStore",
    "Catalogue",
    "Collector",
    "FolderStore",
    "Quota",
    "S3Settings",
    "S3Store",
]
