"""Options that describe a job: what they make of it, and which contradict each other."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from asman.cli.job_options import JobOptions, takes_job_options
from asman_shared.errors import BadDefinition, BadRequest


def given(options: JobOptions) -> dict[str, Any]:
    """The arguments that say anything."""
    return {name: value for name, value in options.fields().items() if value}


def test_without_options_a_job_is_left_as_it_is() -> None:
    options = JobOptions()
    assert given(options) == {}
    assert options.explicit_policy() == {}


def test_options_describe_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "passed on")
    (tmp_path / "x").write_text("1")
    options = JobOptions(
        image="alpine",
        env=["A=1=2", "MINE"],
        file=[str(tmp_path / "x")],
        tag=["t"],
        keep=["*.png"],
        cpus=2,
        workdir="/w",
    )
    found = given(options)
    assert (found["image"], found["env"], found["tags"]) == ("alpine", {"A": "1=2", "MINE": "passed on"}, ["t"])
    assert (found["outputs"], found["cpus"], found["workdir"]) == (["*.png"], 2, "/w")
    assert [Path(path) for path in found["files"].values()] == [tmp_path / "x"]


def test_what_is_built_needs_no_image_even_if_the_environment_names_one() -> None:
    found = given(JobOptions(image="from-environment", git="https://h/x.git", build_arg=["A=1"]))
    assert found == {"build": {"context": "https://h/x.git", "buildArgs": ["A=1"]}}


def test_a_dockerfile_is_a_path_in_what_is_built_or_a_text_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "Other").write_text("FROM a")
    assert given(JobOptions(dockerfile=tmp_path / "Other")) == {"build": {"dockerfile": "FROM a"}}
    inside = given(JobOptions(build=tmp_path, dockerfile=Path("Other")))
    assert inside == {"build": {"context": tmp_path, "filename": "Other"}}
    far = given(JobOptions(git="https://h/x.git", dockerfile=Path("docker/File")))
    assert far == {"build": {"context": "https://h/x.git", "filename": "docker/File"}}


def test_a_dockerfile_with_a_mark_is_the_same_text_and_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Other").write_bytes(b"\xef\xbb\xbfFROM a\r\n")
    assert given(JobOptions(dockerfile=tmp_path / "Other")) == {"build": {"dockerfile": "FROM a\n"}}
    (tmp_path / "Other").write_bytes(b"\xff\xfeF\0")
    with pytest.raises(BadDefinition, match="is not text in UTF-8"):
        given(JobOptions(dockerfile=tmp_path / "Other"))


def test_a_folder_without_a_dockerfile_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with pytest.raises(BadDefinition, match=r"there is no file .*Dockerfile"):
        JobOptions(build=tmp_path).fields()
    (tmp_path / "Dockerfile").write_text("FROM a")
    assert given(JobOptions(build=tmp_path)) == {"build": {"context": tmp_path}}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (JobOptions(git="https://h/x.git", build=Path()), "either --git or --build"),
        (JobOptions(build_arg=["A=1"]), "--build-arg needs an image to build"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: JobOptions, says: str) -> None:
    with pytest.raises(BadDefinition, match=says):
        options.fields()


def test_the_submission_is_said_and_only_what_is_not_usual_is_explicit() -> None:
    options = JobOptions(priority=5, reuse="never", phase_timeout=["pulling=10m", "staging=1m"], namespace="n")
    found = options.policy()
    assert found.get("phase_timeouts") == {"pulling": "10m", "staging": "1m"}
    assert options.explicit_policy() == {
        "priority": 5,
        "reuse": "never",
        "namespace": "n",
        "phase_timeouts": {"pulling": "10m", "staging": "1m"},
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (JobOptions(reuse="sometimes"), "--reuse must be"),
        (JobOptions(phase_timeout=["pulling"]), "look like pulling=10m"),
    ],
)
def test_a_submission_that_can_not_be_is_refused(options: JobOptions, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        options.policy()


def test_a_command_takes_all_options_and_gets_them_as_one() -> None:
    got: list[Any] = []

    def command(words: list[str], *, options: JobOptions, last: bool = False) -> None:
        """Its help."""
        got.extend((words, options, last))

    made = takes_job_options(command)
    names = list(inspect.signature(made).parameters)
    assert names == ["words", "last", *(each.name for each in fields(JobOptions))]
    assert (made.__doc__, made.__name__) == ("Its help.", "command")
    taken = {name: each.default for name, each in inspect.signature(made).parameters.items() if name != "words"}
    made(**{**taken, "words": ["a"], "cpus": 3})
    assert got == [["a"], JobOptions(cpus=3), False]
