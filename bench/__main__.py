"""``python -m bench [NAME]``: measures one scenario or all, prints tables and writes them to ``bench/results/``."""

from __future__ import annotations

import argparse
import sys
import traceback

from bench import (
    blobs,
    client,
    connections,
    containers,
    depth,
    dialect,
    doors,
    fanout,
    flood,
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
    "doors": doors,
    "fanout": fanout,
    "flood": flood,
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
    if wanted.scenario:
        SCENARIOS[wanted.scenario].run(wanted).publish()
        return 0
    failed = []
    for name, module in SCENARIOS.items():
        try:
            module.run(parser.parse_args([name])).publish()
        except Exception:  # the others are worth having all the same
            traceback.print_exc()
            failed.append(name)
    print(f"not measured: {', '.join(failed)}" if failed else f"all {len(SCENARIOS)} scenarios were measured")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
