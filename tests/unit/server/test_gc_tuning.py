"""Looking for cycles of garbage: seldom, and not at what was there before."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from asman_server.gc_tuning import OBJECTS, look_seldom

look_seldom()
assert gc.get_threshold()[0] == OBJECTS, gc.get_threshold()
assert gc.get_freeze_count() > 0
assert gc.isenabled()
class Thing: pass
import weakref
one = Thing(); one.self = one
gone = weakref.ref(one); del one
gc.collect()
assert gone() is None, "cycles are still found"
"""


def test_a_process_that_looks_seldom_still_finds_new_cycles() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
