"""Queues and submission arguments in the URL of a job."""

from __future__ import annotations

from typing import Any

import pytest

from asman.cli.given import LOCAL_HUB, parse, policy_of, queue_of
from asman_shared.definition import Definition
from asman_shared.errors import BadDefinition
from asman_shared.job_url import JobUrl


def link(**more: Any) -> JobUrl:
    return JobUrl(Definition(command="x"), "https://hub.example", **more)


@pytest.mark.parametrize(
    ("queue", "found"),
    [
        ("", None),
        ("lab", "https://hub.example/q/lab"),
        ("a b", "https://hub.example/q/a%20b"),
        (" lab\n", "https://hub.example/q/lab"),
        ("\u00a0lab", "https://hub.example/q/%C2%A0lab"),
        ("local", f"{LOCAL_HUB}/q/local"),
        ("https://other.example/q/lab", "https://other.example/q/lab"),
        ("https://other.example/lab/", "https://other.example/q/lab"),
    ],
)
def test_a_queue_in_a_link_is_written_as_on_a_command_line(queue: str, found: str | None) -> None:
    assert queue_of(link(queue=queue)) == found


def test_what_a_link_says_about_submitting_is_taken_if_it_has_the_right_type() -> None:
    callbacks = {"finished": {"url": "https://example.org"}}
    found = link(max_duration="5m", control={"namespace": "n", "callbacks": callbacks, "maxDuration": "1h"})
    assert policy_of(found) == {"namespace": "n", "callbacks": callbacks, "timeout": "5m"}
    assert policy_of(link(control={"maxDuration": "1h"})) == {"timeout": "1h"}
    assert policy_of(link(control={"namespace": 3, "callbacks": "x"})) == {}


def test_json_and_yaml_are_parsed_and_an_error_says_which_it_was_taken_for() -> None:
    assert parse(b'{"a": [1]}') == parse(b"a: [1]") == {"a": [1]}
    with pytest.raises(BadDefinition, match="not valid JSON"):
        parse(b' {"a": ')
    with pytest.raises(BadDefinition, match="neither JSON nor YAML"):
        parse(b"a: [1")
