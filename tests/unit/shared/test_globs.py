"""Which outputs a job keeps."""

from __future__ import annotations

import pytest

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition
from asman_shared.globs import Globs
from asman_shared.identity import canonical_object, job_id

NAMES = ["a.csv", "b.txt", "plots/a.png", "plots/deep/b.png", "plots/deep/c.csv"]


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (None, NAMES),
        ([], NAMES),
        (["*.csv"], ["a.csv"]),
        (["**/*.csv"], ["a.csv", "plots/deep/c.csv"]),
        (["**"], NAMES),
        (["plots"], ["plots/a.png", "plots/deep/b.png", "plots/deep/c.csv"]),
        (["plots/*"], ["plots/a.png", "plots/deep/b.png", "plots/deep/c.csv"]),
        (["plots/*.png"], ["plots/a.png"]),
        (["plots/**/*.png"], ["plots/a.png", "plots/deep/b.png"]),
        (["?.txt", "[a-b].csv"], ["a.csv", "b.txt"]),
        (["*"], NAMES),
        (["x/**"], []),
        (["A.CSV"], []),
    ],
)
def test_patterns_take_names_as_a_shell_would(patterns: list[str] | None, taken: list[str]) -> None:
    globs = Globs(patterns)
    assert [name for name in NAMES if globs.takes(name)] == taken


def test_a_pattern_that_took_nothing_is_known() -> None:
    globs = Globs(["*.csv", "*.parquet", "**"])
    assert [name for name in NAMES if globs.takes(name)] == NAMES
    assert globs.unused == ["*.parquet"]


def test_no_pattern_is_slow() -> None:
    assert not Globs(["/".join(["**", "a*"] * 40) + "/x"]).takes("/".join(["a" * 20] * 100))
    assert not Globs(["*a" * 100 + "b"]).takes("a" * 250)


def test_patterns_are_part_of_the_id_because_one_run_serves_all_who_ask_for_it() -> None:
    plain = Definition(command="x")
    assert job_id(Definition(command="x", outputs=[])) == job_id(plain)
    assert "outputs" not in canonical_object(plain)
    kept = {job_id(Definition(command="x", outputs=[pattern])) for pattern in ("*.csv", "*.png")}
    assert len(kept | {job_id(plain)}) == 3


@pytest.mark.parametrize("pattern", ["", "/abs/*", "../*", "a//b", "a/./b", "x" * 300, "a\nb"])
def test_a_pattern_that_would_leave_the_folder_is_refused(pattern: str) -> None:
    with pytest.raises(BadDefinition) as error:
        check(Definition(outputs=[pattern]))
    assert error.value.field == "definition.outputs.0"


def test_patterns_are_bounded() -> None:
    check(Definition(outputs=["x"] * limits.OUTPUT_PATTERNS))
    with pytest.raises(BadDefinition, match="at most 100 patterns"):
        check(Definition(outputs=["x"] * (limits.OUTPUT_PATTERNS + 1)))
