"""``python -m bench.commits COMMIT [NAME …]``: compares the working tree with a commit, the two in turns.

COMMIT is anything that git understands, or ``self`` for the working tree beside itself. Checkouts and environments stay
in ``.run/compare`` for the next time; ``make clean`` removes them.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.commits.processes import adopt_orphans, below, end_by_interrupt, end_others
from bench.commits.report import Result
from bench.commits.rounds import FEWEST, MOST, measured
from bench.commits.running import Run, run
from bench.commits.scenarios import SCENARIOS, USUAL, Scenario, Unusable, chosen
from bench.commits.sides import Side, prepared

ROOT = Path(__file__).parents[2]
INTERRUPTED = 130
"""The exit status of a program that was ended by Ctrl-C."""


def main(words: Sequence[str], root: Path = ROOT) -> int:
    """Compares; returns the exit status."""
    already = below()
    try:
        wanted = _parser().parse_args(words)
        compare(root, wanted.commit, wanted.names, wanted.rounds, quick=wanted.quick)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; no result was written", file=sys.stderr)
        return INTERRUPTED
    finally:
        end_others(already)
    return 0


def compare(root: Path, word: str, names: Sequence[str], rounds: str, *, quick: bool = False) -> Result:
    """Compares, prints the tables and writes the result.

    Args:
        root: The working tree.
        word: Names the commit.
        names: The scenarios; none for the usual ones.
        rounds: How many, as it was typed.
        quick: Whether the sizes are those that only try it.

    Raises:
        Unusable: An argument can't be used, or a side can't be measured.
    """
    scenarios, count = chosen(names), rounds_of(rounds)
    folder = root / ".run" / "compare"
    with _alone(folder):
        sides = prepared(root, word, folder, _say)
        result = Result(sides, count, quick)

        def measure(scenario: Scenario, side: Side) -> Run:
            return run(scenario, side, folder / "logs", driver=root, quick=quick)

        for scenario in scenarios:
            result.outcomes.append(measured(scenario, sides, count, measure, _say))
        result.publish(root)
    return result


def rounds_of(text: str) -> int:
    """Returns a number of rounds.

    Raises:
        Unusable: It is no number, or too small or too large.
    """
    if not (text.isascii() and text.isdigit() and FEWEST <= int(text) <= MOST):
        raise Unusable(f"from {FEWEST} to {MOST} rounds, not '{text}'")
    return int(text)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one comparison of a clone run at a time: two would slow each other and write into one checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unusable("another comparison runs in this clone; wait until it has ended") from None
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.commits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", metavar="COMMIT", help="a hash, a branch, HEAD~1, …; or 'self'")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"{', '.join(SCENARIOS)} [{' '.join(USUAL)}]")
    parser.add_argument("--rounds", default="10", help=f"turns of each side, from {FEWEST} to {MOST} [10]")
    parser.add_argument("--quick", action="store_true", help="sizes that only try the comparison itself")
    return parser


def _say(sentence: str) -> None:
    """Reports the progress, apart from the tables."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    end_by_interrupt()
    adopt_orphans()
    sys.exit(main(sys.argv[1:]))
