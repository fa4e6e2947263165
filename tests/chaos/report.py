"""The outcome of the plays, as tables."""

from __future__ import annotations

from statistics import median

from rich.console import Console
from rich.table import Table

from tests.chaos.play import Played


def report(plays: list[Played], console: Console) -> None:
    """Prints the counts of all plays side by side, then the recovery times of each."""
    counts = Table(title="outcome", title_justify="left")
    counts.add_column("")
    for each in plays:
        counts.add_column(each.database, justify="right")
    judged = [each.judgement for each in plays]
    for name, values in (
        ("jobs submitted", [j.submitted for j in judged]),
        ("acknowledged", [j.acknowledged for j in judged]),
        ("finished", [j.finished for j in judged]),
        ("lost (must be 0)", [len(j.lost) for j in judged]),
        ("duplicate results accepted (must be 0)", [len(j.duplicates) for j in judged]),
        ("wrong or missing results or logs (must be 0)", [len(j.without_result) for j in judged]),
        ("attempts that a worker began twice (must be 0)", [len(j.same_attempt_twice) for j in judged]),
        ("told to have gone back (must be 0)", [len(j.backwards) for j in judged]),
        ("not successful (must be 0)", [len(j.failed) for j in judged]),
        ("clients never answered (must be 0)", [j.unanswered for j in judged]),
        ("jobs run twice or more", [j.run_twice for j in judged]),
        ("commands begun", [j.starts for j in judged]),
        ("errors that clients met and tried again", [sum(each.refused.values()) for each in plays]),
        ("seconds", [round(each.seconds) for each in plays]),
    ):
        counts.add_row(name, *map(str, values))
    console.print(counts)
    for each in plays:
        table = Table(title=f"time to recover, seconds, {each.database}", title_justify="left")
        table.add_column("after")
        for column in ("times", "median", "worst"):
            table.add_column(column, justify="right")
        for name, times in sorted(each.times.items()):
            figures = (f"{median(times):.2f}", f"{max(times):.2f}") if times else ("", "")
            table.add_row(name, str(len(times)), *figures)
        console.print(table)
    for each in plays:
        for code, count in sorted(each.refused.items()):
            console.print(f"{each.database}: clients met {count} times {code}", highlight=False)
        for name, some in each.judgement.broken.items():
            console.print(f"{each.database}: BROKEN {name}: {some}", highlight=False, markup=False)
        for trouble in each.trouble:
            console.print(f"{each.database}: TROUBLE {trouble}", highlight=False, markup=False)
