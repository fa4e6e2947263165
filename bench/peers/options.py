"""What can be chosen for every scenario that measures Asman beside others."""

from __future__ import annotations

import argparse

from bench.peers import catalogue

MOST_ROUNDS = 100
MOST_SECONDS = 60.0
MOST_JOBS = 1_000_000


def add(parser: argparse.ArgumentParser, *, seconds: float, meaning: str) -> None:
    """Adds ``--seconds``, ``--rounds`` and ``--peers``.

    Args:
        parser: The scenario's.
        seconds: What they are unless said otherwise.
        meaning: What takes them.
    """
    parser.add_argument("--seconds", type=some_seconds, default=seconds, help=f"{meaning} [{seconds:g}]")
    parser.add_argument("--rounds", type=some_rounds, default=3, help="how often each side has its turn [3]")
    only = "only these beside Asman, such as arq,jetstream; 'none' for Asman alone [all]"
    parser.add_argument("--peers", type=catalogue.chosen, default=list(catalogue.SIDES), help=only)


def some_seconds(text: str) -> float:
    """A length of time."""
    found = float(text)
    if not 0 < found <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"above 0 and at most {MOST_SECONDS:g} seconds, not {text}")
    return found


def some_rounds(text: str) -> int:
    """How many rounds."""
    return _some(text, MOST_ROUNDS, "rounds")


def some_jobs(text: str) -> int:
    """How many jobs."""
    return _some(text, MOST_JOBS, "jobs")


def _some(text: str, most: int, of: str) -> int:
    found = int(text)
    if not 1 <= found <= most:
        raise argparse.ArgumentTypeError(f"from 1 to {most:,} {of}, not {text}")
    return found
