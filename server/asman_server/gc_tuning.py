"""Sets how often Python's garbage collector searches for cycles.

By default the collector runs after every 700 new objects and, more and more seldom, examines all live objects. A hub
makes and drops hundreds of objects for each job and hardly any cycles. Frequent collections would take a large share of
its time, and stop it for long with many jobs in memory; docs/performance-history.md has the measurements.
"""

from __future__ import annotations

import gc
from typing import Final

OBJECTS: Final = 100_000
"""Number of new objects, less the dropped ones, before a collection of the youngest generation."""


def look_seldom() -> None:
    """Tunes the collector of this process; the objects that live now are never examined again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS, 50, 100)
