"""Whole queues, with all that goes wrong between machines, in virtual time.

``python -m tests.simulation`` runs on what `build_tools` has compiled, where that is there. Planted bugs are put into
the sources, so ``--mutants`` and pytest run on those.
"""

import sys

from build_tools import compiled, fast_simulation


def _wants_sources() -> bool:
    command = sys.argv[0] == "-m"  # as it is while `python -m` looks for the module
    return not command or "--mutants" in sys.argv or "--sources" in sys.argv or compiled.state() != "fresh"


if _wants_sources():
    compiled.prefer_sources()
fast_simulation.prefer()
