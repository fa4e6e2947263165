"""``python -m bench.markdown FILE``: what a result has of systems side by side, as `docs/performance.md` shows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.comparison import CROWDED, short


def tables(result: dict[str, Any]) -> str:
    """One table for each comparison: durability, then the ratios to each base, then what was measured."""
    return "\n\n".join(_table(compared) for compared in result["comparisons"])


def _table(compared: dict[str, Any]) -> str:
    quantities = compared["quantities"]
    ratios = [(base, each["name"]) for base in compared["bases"] for each in quantities if each["compared"]]
    titles = [
        "",
        "durability",
        *(f"{name}, {base} ahead by" for base, name in ratios),
        *(f"{each['name']}, {each['unit']}" for each in quantities),
    ]
    crowded = len(quantities) > CROWDED
    rows = []
    for row in compared["rows"]:
        known = [_ratio(compared, row, base, name) for base, name in ratios]
        values = [_cell(row["values"].get(each["name"], []), crowded=crowded) for each in quantities]
        rows.append([row["name"], row["missing"] or row["durability"], *known, *values])
    lines = [titles, ["---"] * len(titles), *rows]
    return f"{compared['title']}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(compared: dict[str, Any], row: dict[str, Any], base: str, name: str) -> str:
    """The cell of one base; a row that is compared with another one than the rest has that where the first base is."""
    other = row["bases"][0] if row["bases"] and base == compared["bases"][0] else base
    cell = _cell(compared["ratios"].get(row["name"], {}).get(other, {}).get(name, []), crowded=False)
    return f"{cell} (that of {other})" if cell and other != base else cell


def _cell(values: Sequence[float | None], *, crowded: bool) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    if crowded or len(known) == 1:
        return short(median(known))
    return f"{short(median(known))} ({short(min(known))} to {short(max(known))})"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
