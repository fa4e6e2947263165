"""``python -m tests.chaos``: kills, freezes and cuts off real processes under load, on SQLite and on Postgres."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from tests.chaos.play import Played, play
from tests.chaos.report import report
from tests.support.postgres import postgres_for_session

DATABASES = ("sqlite", "postgres")


def main() -> int:
    """Plays on each database; returns 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="time with faults on each database, in seconds")
    parser.add_argument("--seed", type=int, help="chooses faults and jobs (random)")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the logs and data of the processes")
    wanted = parser.parse_args()
    seed = random.randrange(1_000_000) if wanted.seed is None else wanted.seed
    logging.disable(logging.CRITICAL)
    console = Console(width=120)
    folder = Path(tempfile.mkdtemp(prefix="asman-chaos-", dir="/tmp"))
    console.print(
        f"seed {seed}: {wanted.seconds:g} s of faults on each of {', '.join(wanted.databases)} "
        f"(again with --seed {seed}); logs in {folder}",
        highlight=False,
    )
    plays: list[Played] = []
    with ExitStack() as stack:
        for database in wanted.databases:
            own = folder / database
            own.mkdir()
            postgres = None
            if database == "postgres":
                postgres = stack.enter_context(contextmanager(postgres_for_session)())
            plays.append(asyncio.run(play(own, seed, wanted.seconds, postgres=postgres, workers=wanted.workers)))
    report(plays, console)
    ok = all(each.ok for each in plays)
    console.print(f"seed {seed}: " + ("every promise was kept" if ok else "A PROMISE WAS BROKEN"), highlight=False)
    if ok and not wanted.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
