"""Reduces an engine's progress stream of a pull to two numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_WAITING: Final = frozenset({"Pulling fs layer", "Waiting"})
_ARRIVED: Final = frozenset(
    {"Download complete", "Pull complete", "Already exists", "Extracting", "Verifying Checksum"}
)
_DONE: Final = frozenset({"Pull complete", "Already exists"})


class PullProgress:
    """The progress of a pull.

    Sizes become known layer by layer, so the total may grow. The finished part never shrinks.
    """

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()
        self._most = 0

    def feed(self, item: Mapping[str, Any]) -> None:
        """Takes in one item of the engine's stream."""
        layer, status = item.get("id"), item.get("status")
        if not isinstance(layer, str) or not isinstance(status, str):
            return
        if status not in _WAITING and status not in _ARRIVED and status != "Downloading":
            return
        done, total = self._layers.get(layer, (0, 0))
        if status == "Downloading":
            detail = item.get("progressDetail") or {}
            total = max(total, int(detail.get("total") or 0))
            done = max(done, int(detail.get("current") or 0))
        elif status in _ARRIVED:
            done = total
        self._layers[layer] = (done, total)
        if status in _DONE:
            self._done.add(layer)

    @property
    def layers(self) -> tuple[int, int]:
        """The number of present layers, and of all layers."""
        return len(self._done), len(self._layers)

    @property
    def bytes(self) -> tuple[int, int]:
        """The number of bytes that have arrived, and of all known bytes."""
        done = sum(done for done, _ in self._layers.values())
        self._most = max(self._most, done)
        return self._most, max(self._most, sum(total for _, total in self._layers.values()))

    @property
    def now(self) -> tuple[int, int, str]:
        """Done, total and unit: bytes while layers arrive, then layers while they are unpacked."""
        done, total = self.bytes
        return (done, total, "bytes") if done < total else (*self.layers, "layers")
