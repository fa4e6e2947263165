"""The list of peers, how they are chosen, and what happens to one that can't be measured."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench.comparison import Comparison, Quantity
from bench.peers import catalogue, options
from bench.peers.catalogue import FRAMES, LIBRARY, PROCESSES, SIDES, Side, chosen
from bench.peers.environments import OURS
from bench.peers.rounds import Turn, jobs_of, rounds
from bench.peers.servers import KINDS

FOLDER = Path(catalogue.__file__).parent
RATE = Quantity("jobs", "jobs/s")


def test_every_side_has_its_program_its_requirements_and_its_server() -> None:
    for side in SIDES:
        assert (FOLDER / f"{side.module}.py").is_file(), side
        assert side.environment == OURS or (FOLDER / "requirements" / f"{side.environment}.txt").is_file(), side
        assert not side.server or side.server in KINDS, side
        assert side.durability, side
        assert side.chosen, side


def test_no_two_sides_have_one_name() -> None:
    assert len({side.name for side in SIDES}) == len({side.title for side in SIDES}) == len(SIDES)


def test_every_requirement_is_pinned() -> None:
    for file in (FOLDER / "requirements").iterdir():
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert lines, file
        assert all(line.count("==") == 1 for line in lines), file


def _parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add(parser, seconds=1.5, meaning="of it")
    return parser.parse_args(words)


def test_all_sides_are_chosen_unless_some_are_named() -> None:
    assert _parsed().peers == list(SIDES)
    assert [side.name for side in chosen("none")] == [FRAMES, LIBRARY]


def test_a_name_means_all_settings_of_a_peer_and_one_with_its_setting_that_alone() -> None:
    assert [side.name for side in chosen("arq")] == [FRAMES, LIBRARY, "arq", "arq-fastest"]
    assert [side.name for side in chosen("rq-fastest, dask")] == [FRAMES, LIBRARY, "rq-fastest", "dask"]


def test_what_a_peer_is_compared_with_comes_along() -> None:
    assert PROCESSES in [side.name for side in chosen("hyperqueue")]


def test_an_unknown_peer_is_told_with_those_that_there_are() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"no peer 'sidekiq'; there are asman, .*hyperqueue"):
        chosen("arq,sidekiq")


def test_what_was_chosen_for_a_peer_is_told_once_for_all_its_settings() -> None:
    said = catalogue.words(chosen("arq"))
    assert [sentence.partition(":")[0] for sentence in said[1:]] == ["Asman, frames", "Asman, library", "arq"]


@pytest.mark.parametrize(
    "words", [("--seconds", "0"), ("--seconds", "61"), ("--rounds", "0"), ("--rounds", "101"), ("--peers", "x")]
)
def test_what_can_not_be_measured_is_refused_with_the_bounds(words: tuple[str, str]) -> None:
    with pytest.raises(argparse.ArgumentError, match=r"at most|from 1 to|there are"):
        _parsed(*words)


def test_jobs_are_from_one_to_a_million() -> None:
    assert options.some_jobs("1000000") == 1_000_000
    for text in ("0", "1000001"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"not {text}"):
            options.some_jobs(text)


@pytest.mark.parametrize(
    ("most", "seconds", "rate", "jobs"),
    [(10_000, 4, 20_000, 10_000), (10_000, 4, 700, 2800), (10_000, 4, 1, 100), (50, 4, 1, 50), (50, 4, 1000, 50)],
)
def test_slow_sides_do_fewer_jobs(most: int, seconds: float, rate: float, jobs: int) -> None:
    assert jobs_of(most, seconds, rate, 100) == jobs


def _side(name: str, environment: str, module: str) -> Side:
    return Side(name, name, module, environment, "asman", "", "none")


def test_a_side_that_is_not_there_or_fails_is_told_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    compared = Comparison("t", [RATE], ["no program"])
    reached: list[str] = []

    def measure(turn: Turn) -> None:
        reached.append(turn.side.side.name)
        turn.side.order("many", jobs=1)

    sides = [_side("no environment", "nowhere", "arq"), _side("no program", OURS, "nothing_of_that_name")]
    rounds(compared, sides, 2, measure)
    first, second = compared.rows
    assert first.missing == "not measured: it has no environment; scripts/peers.sh makes it"
    assert second.missing.startswith("failed in round 2: ")
    assert "nothing_of_that_name" in second.missing
    assert reached == ["no program"] * 2
    assert compared.ratios == {}
    assert "round 2 of 2: no program" in capsys.readouterr().err
