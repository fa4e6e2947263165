"""``python -m bench [NAME]``: measures one scenario or all, prints tables and writes them to ``bench/results/``."""

from __future__ import annotations

import argparse
import sys

from bench import (
    blobs,
    client,
    connections,
    containers,
    depth,
    dialect,
    fanout,
    growth,
    latency,
    logs,
    page,
    profile,
    slowreader,
    throughput,
)

SCENARIOS = {
    "blobs": blobs,
    "client": client,
    "connections": connections,
    "containers": containers,
    "depth": depth,
    "dialect": dialect,
    "fanout": fanout,
    "growth": growth,
    "latency": latency,
    "logs": logs,
    "page": page,
    "profile": profile,
    "slowreader": slowreader,
    "throughput": throughput,
}


def main() -> int:
    """Runs what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = parser.add_subparsers(dest="scenario", metavar="NAME")
    for name, module in SCENARIOS.items():
        module.arguments(names.add_parser(name, help=module.__doc__, description=module.__doc__))
    wanted = parser.parse_args()
    for name in [wanted.scenario] if wanted.scenario else list(SCENARIOS):
        alone = wanted if wanted.scenario else parser.parse_args([name])
        SCENARIOS[name].run(alone).publish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
