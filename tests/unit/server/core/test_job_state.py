"""Jobs and definitions as clients see them: short, and without what is only the hub's."""

from __future__ import annotations

import pytest

from asman_server.core import Job
from asman_server.core.job_state import COMMAND_SHOWN, state_of, summarise
from asman_shared.definition import Build, Definition, Shape
from asman_shared.messages import Summary
from asman_shared.states import Phase, State


def test_a_command_of_the_longest_length_is_shown_whole_and_a_longer_one_is_cut_to_it() -> None:
    fits = "x" * COMMAND_SHOWN
    assert summarise(Definition(image="i", command=fits), Shape()).command == fits
    cut = summarise(Definition(image="i", command=fits + "y"), Shape()).command
    assert cut == "x" * (COMMAND_SHOWN - 1) + "…"
    assert len(cut) == COMMAND_SHOWN


def test_a_command_of_words_is_shown_as_one_line() -> None:
    assert summarise(Definition(image="i", command=["echo", "a b"]), Shape()).command == "echo a b"


@pytest.mark.parametrize(
    ("build", "shown"),
    [
        (Build(context="https://example.org/x.git"), "https://example.org/x.git"),
        (Build(dockerfile="FROM scratch"), "Dockerfile"),
        (Build(), "build"),
        (Build(context="c" * 300), "c" * COMMAND_SHOWN),
    ],
)
def test_a_build_is_named_by_where_its_files_come_from(build: Build, shown: str) -> None:
    assert summarise(Definition(build=build), Shape()).build == shown


def test_requirements_are_shown_in_whole_cpus_and_bytes() -> None:
    shown = summarise(Definition(image="i", tags=["ssd"]), Shape(cpus=1500, memory=7, gpus=2))
    assert (shown.image, shown.cpus, shown.memory, shown.gpus, shown.tags) == ("i", 1.5, 7, 2, ("ssd",))


def test_a_job_is_shown_with_its_workers_name_and_without_its_incarnation() -> None:
    job = Job(
        id="a",
        number=9,
        summary=Summary(image="i"),
        rev=4,
        state=State.RUNNING,
        phase=Phase.PULLING,
        attempt=2,
        worker="secret-incarnation",
        worker_name="host",
        holders=("one", "two"),
        priority=3,
    )
    seen = state_of(job)
    assert (seen.rev, seen.state, seen.phase, seen.attempt) == (4, State.RUNNING, Phase.PULLING, 2)
    assert (seen.worker, seen.namespaces, seen.priority) == ("host", ["one", "two"], 3)
    assert "secret-incarnation" not in repr(seen)


def test_the_summary_is_left_out_for_those_who_have_it() -> None:
    job = Job(id="a", number=1, summary=Summary(image="i"))
    assert state_of(job).summary == Summary(image="i")
    assert state_of(job, summary=False).summary is None
