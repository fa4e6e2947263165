"""Log lines in REST's form."""

from __future__ import annotations

import pytest

from asman_server.rest.types import line_answer
from asman_shared.messages import LogLine
from asman_shared.states import Phase


@pytest.mark.parametrize(
    ("stream", "name"), [(0, "stdout"), (1, "stderr"), (2, "system"), (3, "system"), (-1, "system")]
)
def test_a_stream_is_told_by_its_name_and_an_unknown_one_is_the_systems(stream: int, name: str) -> None:
    assert line_answer(LogLine(0, 0, stream, "")).stream == name


def test_a_line_is_told_whole() -> None:
    found = line_answer(LogLine(7, 1234, 0, "hello", Phase.BUILDING))
    assert (found.seq, found.time, found.text, found.phase) == (7, 1234, "hello", Phase.BUILDING)
