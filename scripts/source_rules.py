"""Checks source rules that no linter has: the form of docstrings, and the size of modules and folders.

    python -m scripts.source_rules      prints each place that breaks a rule; exits with 1 if there is one

CONTRIBUTING.md says why the rules exist.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = (
    "shared/asman_shared",
    "server/asman_server",
    "worker/asman_worker",
    "client/asman",
)
MOST_LINES: Final = 500
"""Largest number of lines of a module."""
MOST_MODULES: Final = 25
"""Largest number of modules in a folder, `__init__` included."""
NOT_COUNTED: Final = "migrations/versions"
"""Folder of the migrations, which has a file for each change of the schema."""

_QUESTION: Final = re.compile(r"(What|Who|When|Which|How|Where|Whom|Whose)\b")
_POINTER: Final = re.compile(r"See the module\.?")

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _documented(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """Yields the module, its classes and its functions, each with a name for people."""
    yield "the module", tree
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node


def _constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yields the texts that stand below an assignment and explain it."""
    for owner in ast.walk(tree):
        body = getattr(owner, "body", None)
        if isinstance(body, list):
            for before, after in pairwise(body):
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                    text = after.value
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text


def docstring_faults(source: str) -> list[tuple[int, str]]:
    """Finds docstrings that open with a question word or only point to the module.

    Returns:
        The line and a sentence for each.
    """
    tree = ast.parse(source)
    texts: list[tuple[str, int, str]] = []
    for name, node in _documented(tree):
        text = ast.get_docstring(node)
        if text is not None:
            texts.append((name, node.body[0].lineno, text))
    texts += [("a constant", node.lineno, str(node.value)) for node in _constants(tree)]
    faults: list[tuple[int, str]] = []
    for name, line, text in texts:
        asked = _QUESTION.match(text.strip())
        if asked:
            faults.append((line, f"the text on {name} opens with '{asked[1]}': say it with a verb or a noun phrase"))
        elif _POINTER.match(text.strip()):
            faults.append((line, f"the text on {name} points to the module: describe {name} itself"))
    return sorted(faults)


def faults(root: Path) -> list[str]:
    """Finds every place below a folder that breaks a rule, as lines for people."""
    found: list[str] = []
    folders: Counter[Path] = Counter()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            place = path.relative_to(root)
            if NOT_COUNTED in place.as_posix():
                continue
            folders[place.parent] += 1
            source = path.read_text()
            found += [f"{place}:{line}: {why}" for line, why in docstring_faults(source)]
            lines = source.count("\n")
            if lines > MOST_LINES:
                found.append(f"{place}: {lines} lines; a module has at most {MOST_LINES}")
    found += [
        f"{folder}: {count} modules; a folder has at most {MOST_MODULES}"
        for folder, count in sorted(folders.items())
        if count > MOST_MODULES
    ]
    return found


def main() -> int:
    """Prints the faults; returns 0 if there are none."""
    found = faults(ROOT)
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
