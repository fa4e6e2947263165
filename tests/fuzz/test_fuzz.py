"""The fuzzer in ``make test``: a short run of every door, always the same."""

from __future__ import annotations

import pytest

from tests.fuzz.doors import PARSERS
from tests.fuzz.play import play


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_has_no_fault(name: str) -> None:
    played = play(PARSERS[name](), 0, seconds=4, inputs=1500)
    assert not played.fault, f"{played.fault}\npython -m tests.fuzz --door {name} --replay {played.file}"
    assert played.inputs > 20
