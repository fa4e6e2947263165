"""``python -m tests.engines``: runs the workflow engines to their end on a real hub, with a worker and containers."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devtools.engine import Engine, hold
from tests.engines.snakemake import snakemake
from tests.engines.toil import toil

ENGINES: Final[dict[str, Callable[[Engine, Path], str]]] = {"toil": toil, "snakemake": snakemake}
"""Each runs a workflow in a folder, and returns what it has shown."""


def main() -> int:
    """Runs the engines that the arguments name, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    parser.add_argument("engines", nargs="*", help=f"which: {', '.join(ENGINES)}")
    wanted = parser.parse_args().engines or list(ENGINES)
    if unknown := set(wanted) - set(ENGINES):
        parser.error(f"there is no engine {', '.join(sorted(unknown))}")
    with hold() as engine:
        for name in wanted:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=f"asman-{name}-", ignore_cleanup_errors=True) as folder:
                shown = ENGINES[name](engine, Path(folder))
            print(f"{name}: {shown}, in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
