"""The places that the workers of a queue reach besides the hub: folders that their operators share, and S3 buckets.

A task is placed by tags (`asman_shared.places.urls`): the hub chooses the innermost folder that a worker shares. While
no worker is connected, that is not known, and the task waits for one that shares anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from asman_shared.errors import BadRequest
from asman_shared.places.urls import BUCKET_TAG, FOLDER_TAG, WRITABLE, Place, bucket_tags, folder_of, within

from ..queues.shell import QueueShell


class Reach:
    """The places that workers reach.

    Args:
        workers: The tags of each worker.
    """

    def __init__(self, workers: Iterable[Iterable[str]] = ()) -> None:
        self._workers = [frozenset(tags) for tags in workers]
        self._tags = frozenset().union(*self._workers)

    @classmethod
    def of(cls, shell: QueueShell) -> Reach:
        """Returns the places of a queue's workers."""
        return cls(worker.tags for worker in shell.core.workers.values())

    def tag_for(self, place: Place, field: str, *, writing: bool) -> str:
        """Returns the tag of the workers that reach a place.

        Raises:
            BadRequest: There are workers, and none of them reaches it.
        """
        return (
            self._folder_tag(place, field, writing) if place.kind == "file" else self._bucket_tag(place, field, writing)
        )

    def _folder_tag(self, place: Place, field: str, writing: bool) -> str:
        shared = [each for tag in self._tags if (each := folder_of(tag)) is not None]
        fitting = [path for path, writable in shared if within(place.path, path) and (writable or not writing)]
        end = WRITABLE if writing else ""
        if fitting:
            return f"{FOLDER_TAG}:{max(fitting, key=len)}{end}"
        if self._workers:
            raise BadRequest(
                f"no worker of this queue shares a folder with '{place.path[:200]}' {_for(writing)}: start one with "
                f"--shared-folder PATH{end}",
                field=field,
            )
        return f"{FOLDER_TAG}{end}"

    def _bucket_tag(self, place: Place, field: str, writing: bool) -> str:
        tag = bucket_tags(place.bucket, writable=writing)[-1]
        if self._workers and tag not in self._tags:
            raise BadRequest(
                f"no worker of this queue lets jobs use the bucket '{place.bucket}' {_for(writing)}: start one with "
                f"--s3-bucket {place.bucket}{WRITABLE if writing else ''}",
                field=field,
            )
        return tag

    @property
    def storage(self) -> list[str]:
        """The URLs of the places, as clients want to know them before they create a task."""
        folders = {f"file://{each[0]}" for tag in self._tags if (each := folder_of(tag)) is not None}
        start = f"{BUCKET_TAG}:"
        buckets = {
            f"s3://{tag.removeprefix(start).removesuffix(WRITABLE)}" for tag in self._tags if tag.startswith(start)
        }
        return sorted(folders) + sorted(buckets)


def _for(writing: bool) -> str:
    return "for writing" if writing else "for reading"
