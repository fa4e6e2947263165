"""The environment of a job's process: its own variables, and where its files and addresses are."""

from __future__ import annotations

from pathlib import Path

from asman_shared.definition import Definition, Shape
from asman_worker.execution.environment import job_environment
from asman_worker.execution.folders import JobFolder
from asman_worker.execution.interface import AttemptSpec


def spec(**env: str) -> AttemptSpec:
    definition = Definition(image="a", env=env or None)
    return AttemptSpec("job-id", 2, definition, Shape(), JobFolder(Path("/x")), Path("/c"), url="https://h/q/a/j/b")


def test_a_job_finds_its_files_and_addresses() -> None:
    assert job_environment(spec(), "/in", "/out", "/cache") == {
        "JOB_ID": "job-id",
        "JOB_INPUTS": "/in",
        "JOB_OUTPUTS": "/out",
        "JOB_CACHE": "/cache",
        "JOB_URL_PREFIX": "https://h/q/a/j/b",
        "JOB_INPUTS_URL_PREFIX": "https://h/q/a/j/b/inputs/",
        "JOB_OUTPUTS_URL_PREFIX": "https://h/q/a/j/b/outputs/",
    }


def test_its_own_variables_are_there_and_can_not_stand_for_others() -> None:
    found = job_environment(spec(A="1", JOB_OUTPUTS="/etc"), "/in", "/out", "/cache")
    assert (found["A"], found["JOB_OUTPUTS"]) == ("1", "/out")
