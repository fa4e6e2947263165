"""Volumes, steps and files for standard streams in a definition."""

from __future__ import annotations

from typing import Any

import pytest

from asman_shared import limits
from asman_shared.definition import VOLUMES_TAG, DataRef, Definition, Step
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition
from asman_shared.identity import effective, job_id

PLAIN: dict[str, Any] = {"image": "a", "command": ["b"]}


def test_only_workers_with_the_ability_get_such_jobs() -> None:
    assert check(Definition(**PLAIN)).tags == frozenset()
    for more in ({"volumes": ["/v"]}, {"stdin": "/x"}, {"steps": [Step(command="a")]}, {"ignore_failure": True}):
        assert check(Definition(**PLAIN, **more, tags=["t"])).tags == {"t", VOLUMES_TAG}


def test_what_is_left_out_does_not_change_an_id() -> None:
    plain = job_id(Definition(**PLAIN))
    empties: list[dict[str, Any]] = [{"volumes": []}, {"steps": []}, {"stdin": ""}, {"ignore_failure": False}]
    for empty in empties:
        assert job_id(Definition(**PLAIN, **empty)) == plain


def test_each_part_changes_the_id() -> None:
    parts: list[dict[str, Any]] = [
        {},
        {"volumes": ["/v"]},
        {"volumes": ["/w"]},
        {"stdin": "/x"},
        {"stdout": "/x"},
        {"stderr": "/x"},
        {"ignore_failure": True},
        {"steps": [Step(command="a")]},
        {"steps": [Step(command="a", env={"A": "b"})]},
        {"steps": [Step(command="a"), Step(command="a")]},
        {"steps": [Step(command="a", ignore_failure=True)]},
    ]
    assert len({job_id(Definition(**PLAIN, **part)) for part in parts}) == len(parts)


def test_what_a_step_s_id_leaves_out_does_not_reach_it() -> None:
    one = Definition(**PLAIN, steps=[Step(command="a", env={"CHANNEL": "x", "A": "b"}), Step(env={"CHANNEL": "y"})])
    other = Definition(**PLAIN, steps=[Step(command="a", env={"A": "b"}), Step(env={})])
    assert job_id(one) == job_id(other)
    assert effective(one) == effective(other) == Definition(**PLAIN, steps=[Step(command="a", env={"A": "b"}), Step()])


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"volumes": ["v"]}, "definition.volumes.0"),
        ({"volumes": ["/v/"]}, "definition.volumes.0"),
        ({"volumes": ["/v/../w"]}, "definition.volumes.0"),
        ({"volumes": ["/"]}, "definition.volumes.0"),
        ({"volumes": ["/a", "/proc/x"]}, "definition.volumes.1"),
        ({"volumes": ["/inputs"]}, "definition.volumes.0"),
        ({"volumes": ["/job-cache/x"]}, "definition.volumes.0"),
        ({"volumes": ["/a:b"]}, "definition.volumes.0"),
        ({"volumes": ["/a", "/a"]}, "definition.volumes.1"),
        ({"volumes": [f"/{number}" for number in range(limits.VOLUMES + 1)]}, "definition.volumes"),
        ({"volumes": ["/a/b"], "config_files": {"/a": DataRef("x")}}, "definition.volumes.0"),
        ({"volumes": ["/a"], "config_files": {"/a": DataRef("x")}}, "definition.volumes.0"),
        ({"stdin": "x"}, "definition.stdin"),
        ({"stdin": "/x", "command": None}, "definition.command"),
        ({"volumes": ["/v"], "stdout": "/w/x"}, "definition.stdout"),
        ({"volumes": ["/v"], "stderr": "/v"}, "definition.stderr"),
        ({"volumes": ["/v"], "stderr": "/v/./x"}, "definition.stderr"),
        ({"steps": [Step(command="a")] * (limits.STEPS + 1)}, "definition.steps"),
        ({"steps": [Step(), Step(image="a b")]}, "definition.steps.1.image"),
        ({"steps": [Step(stdout="/x", command="a")]}, "definition.steps.0.stdout"),
        ({"steps": [Step(env={"": "x"})]}, "definition.steps.0.env"),
        ({"steps": [Step(command=["\0"])]}, "definition.steps.0.command"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        check(Definition(**{**PLAIN, **more}))
    assert caught.value.field == field


def test_the_most_that_may_be_is_taken() -> None:
    check(
        Definition(
            **PLAIN,
            volumes=[f"/{number}" for number in range(limits.VOLUMES)],
            steps=[Step(command="a")] * limits.STEPS,
        )
    )


def test_a_config_file_may_be_in_a_volume_also_where_outputs_are() -> None:
    check(Definition(**PLAIN, volumes=["/outputs"], config_files={"/outputs/a": DataRef("x")}))
    with pytest.raises(BadDefinition):
        check(Definition(**PLAIN, volumes=["/v"], config_files={"/outputs/a": DataRef("x")}))
