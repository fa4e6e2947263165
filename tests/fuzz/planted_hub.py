"""``python -m tests.fuzz.planted_hub MUTANT asman hub …``: runs a hub in which a fault is planted."""

from __future__ import annotations

import sys

from asman.cli.main import main
from tests.fuzz.mutants import plant

if __name__ == "__main__":
    with plant(sys.argv[1]):
        main(sys.argv[sys.argv.index("hub") :])
