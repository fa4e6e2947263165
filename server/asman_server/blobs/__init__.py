"""Blobs: bytes named by their sha256, stored once, sent and read at signed addresses.

The *catalogue* in the database is the truth about stored blobs (`catalogue`). The bytes are in a *store* (`store`): a
folder that the hub itself serves (`folder`, `multipart`), or any S3, whose bytes never pass the hub (`s3`). The
*service* (`service`) answers sessions and HTTP. It reports a blob as stored only once the blob is verified and durable.
The *collector* (`collect`) removes blobs that are unused for a while and that nothing names.

Way in: `BlobService`, `Collector`, `Catalogue`.
May import: `storage` and all below, see the layers in `pyproject.toml`.
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
