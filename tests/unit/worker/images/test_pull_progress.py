"""Tests of the progress of a pull: an engine's stream reduced to two numbers."""

from __future__ import annotations

from typing import Any

from asman_worker.images.pull_progress import PullProgress


def fed(*items: dict[str, Any]) -> PullProgress:
    progress = PullProgress()
    for item in items:
        progress.feed(item)
    return progress


def downloading(layer: str, current: int, total: int) -> dict[str, Any]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": total}}


def test_bytes_of_all_layers_add_up_while_they_arrive() -> None:
    progress = fed(downloading("a", 10, 100), downloading("b", 5, 50))
    assert progress.now == (15, 150, "bytes")


def test_done_bytes_never_shrink() -> None:
    progress = fed(downloading("a", 90, 100))
    assert progress.bytes == (90, 100)
    progress.feed(downloading("a", 10, 100))
    assert progress.bytes == (90, 100)


def test_layers_are_counted_once_all_bytes_are_there() -> None:
    progress = fed(
        downloading("a", 10, 100),
        {"id": "a", "status": "Download complete"},
        {"id": "b", "status": "Already exists"},
    )
    assert progress.now == (1, 2, "layers")
    progress.feed({"id": "a", "status": "Pull complete"})
    assert progress.now == (2, 2, "layers")


def test_other_items_of_the_stream_are_ignored() -> None:
    assert fed({"status": "Pulling from library/alpine", "id": "latest"}, {"status": "Digest: sha256:…"}).layers == (
        0,
        0,
    )


def test_progress_is_bytes_while_layers_arrive_and_then_layers() -> None:
    progress = PullProgress()

    def say(layer: str, status: str, current: int = 0, total: int = 0) -> tuple[int, int, str]:
        progress.feed({"id": layer, "status": status, "progressDetail": {"current": current, "total": total}})
        return progress.now

    assert say("a", "Pulling fs layer") == (0, 1, "layers")
    say("b", "Already exists")
    assert say("a", "Downloading", 10, 100) == (10, 100, "bytes")
    assert say("a", "Downloading", 5, 100) == (10, 100, "bytes")
    assert say("a", "Download complete") == (1, 2, "layers")
    assert say("a", "Pull complete") == (2, 2, "layers")
    progress.feed({"status": "Digest: sha256:…"})
    assert (progress.layers, progress.bytes) == ((2, 2), (100, 100))
