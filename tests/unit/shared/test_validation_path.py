"""What does not fit a type is named with its place, wherever it is."""

from __future__ import annotations

import msgspec
import pytest

from asman_shared.messages import Submit
from asman_shared.validation_path import misfit


@pytest.mark.parametrize(
    ("more", "says", "path"),
    [
        ({"priority": "high"}, "Expected `int`, got `str`", "priority"),
        ({"definition": {"env": {"A": 1}}}, "Expected `str`, got `int`", "definition.env[...]"),
        ({"phase_limits": {"baking": 1}}, "Invalid enum value 'baking'", "phase_limits"),
        ({"phase_limits": {"pulling": "soon"}}, "Expected `int`, got `str`", "phase_limits[...]"),
    ],
)
def test_the_sentence_and_the_place(more: dict[str, object], says: str, path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"type": "submit", "ref": 1, "definition": {}, **more}, Submit)
    assert misfit(caught.value) == (says, path)


def test_what_is_wrong_as_a_whole_has_no_place() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(5, Submit)
    assert misfit(caught.value) == ("Expected `object`, got `int`", "")
