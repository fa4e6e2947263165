"""The simulation: whole queues, with every fault between machines, in virtual time.

``python -m tests.simulation`` runs on the modules that `build_tools` has compiled, if there are any. Planted bugs
change the sources, so ``--mutants`` and pytest run on the sources.
"""

import sys

from build_tools import compiled, fast_simulation


def _wants_sources() -> bool:
    command = sys.argv[0] == "-m"  # as it is while `python -m` looks for the module
    return not command or "--mutants" in sys.argv or "--sources" in sys.argv or compiled.state() != "fresh"


if _wants_sources():
    compiled.prefer_sources()
fast_simulation.prefer()
