"""Submissions of the dialect as native ones."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.dialect.ids import Identified
from asman_server.dialect.incoming import Call, Callbacks, Control
from asman_server.dialect.submitting import _by_sha256, native
from asman_shared import limits
from asman_shared.definition import DataRef, Definition
from asman_shared.errors import BadDefinition, BadUnit

MADE = Definition(image="alpine")
FOUND = Identified(MADE, "ab" * 32, "ab" * 32)


def test_without_settings_it_is_in_the_common_namespace_and_not_followed() -> None:
    for control in (None, Control()):
        made = native(FOUND, control)
        assert (made.definition, made.namespace, made.time_limit) == (MADE, "_", None)
        assert (made.follow, made.callbacks) == (False, None)


def test_settings_are_translated() -> None:
    wanted = Control(
        namespace="n", max_duration="5m", callbacks=Callbacks(finished=Call(url="https://h/", payload={"a": 1}))
    )
    made = native(FOUND, wanted)
    assert (made.namespace, made.time_limit) == ("n", 300_000)
    assert made.callbacks is not None
    assert made.callbacks.queued is None
    assert made.callbacks.finished is not None
    assert (made.callbacks.finished.url, made.callbacks.finished.payload) == ("https://h/", {"a": 1})


def test_a_namespace_has_its_length() -> None:
    assert native(FOUND, Control(namespace="x" * limits.LABEL_LENGTH)).namespace == "x" * limits.LABEL_LENGTH
    with pytest.raises(BadDefinition) as caught:
        native(FOUND, Control(namespace="x" * (limits.LABEL_LENGTH + 1)))
    assert caught.value.field == "control.namespace"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [("soon", "not a duration"), ("0s", "leave it out for no limit"), ("", "leave it out for no limit")],
)
def test_a_duration_that_can_not_be_read_or_is_zero_is_named(wrong: str, says: str) -> None:
    with pytest.raises(BadUnit, match=says) as caught:
        native(FOUND, Control(max_duration=wrong))
    assert caught.value.field == "control.maxDuration"


class Files:
    """Names of files, and what they stand for."""

    async def sha256(self, name: str) -> str:
        return {"plain.txt": "cd" * 32, f"{'ab' * 32}.png": "ab" * 32}[name]


async def test_names_of_files_become_what_they_stand_for_and_all_else_stays() -> None:
    files: Any = Files()
    stays = {"a": DataRef("text"), "b": DataRef("ab" * 32, "key"), "u": DataRef("https://h/x", "url")}
    named = {"c": DataRef("plain.txt", "key"), "d": DataRef(f"{'ab' * 32}.png", "key")}
    made = await _by_sha256(files, Definition(image="i", inputs={**stays, **named}, config_files=dict(named)))
    found = {"c": DataRef("cd" * 32, "key"), "d": DataRef("ab" * 32, "key")}
    assert made.inputs == {**stays, **found}
    assert made.config_files == found
    assert await _by_sha256(files, MADE) == MADE
