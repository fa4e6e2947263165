"""What is typed wrongly is told in one sentence, before anything is made."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from bench.commits.__main__ import main, rounds_of
from bench.commits.scenarios import Unusable


@pytest.mark.parametrize("text", ["1", "0", "101", "-3", "2.5", "ten", "", "²"])
def test_rounds_are_from_2_to_100(text: str) -> None:
    with pytest.raises(Unusable, match=f"^from 2 to 100 rounds, not '{text}'$"):
        rounds_of(text)


def test_the_least_and_the_most_rounds_are_taken() -> None:
    assert [rounds_of("2"), rounds_of("100")] == [2, 100]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["HEAD", "page"], "error: commits can't be compared by 'page'; they can by throughput, depth, "),
        (["HEAD", "--rounds", "1"], "error: from 2 to 100 rounds, not '1'\n"),
        (["HEAD", "depth"], "error: there is no commit 'HEAD' in this clone\n"),
    ],
)
def test_what_can_not_be_compared_is_one_sentence_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main(words, tmp_path) == 1
    said = capsys.readouterr()
    assert said.err.startswith(sentence)
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "bench").exists()


def test_a_second_comparison_in_one_clone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / ".run/compare/lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["self", "depth"], tmp_path) == 1
    assert capsys.readouterr().err == "error: another comparison runs in this clone; wait until it has ended\n"
