"""Units are read strictly: what would have to be guessed is refused."""

from __future__ import annotations

import pytest

from asman_shared.errors import BadUnit
from asman_shared.units import DURATION_MAX, SIZE_MAX, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("2g", 2 << 30), ("512MiB", 512 << 20), ("1.5GB", 3 << 29), ("100b", 100), ("1 kb", 1024), ("1T", 1 << 40)],
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["2", "", "g", "-1g", "2gg", "1e3m", "2 g b", "one", "9" * 20 + "g", "\u0663g"])
def test_an_unclear_size_is_refused_and_the_field_is_named(text: str) -> None:
    with pytest.raises(BadUnit, match="is not a size") as caught:
        parse_size(text, field="definition.requirements.memory")
    assert caught.value.field == "definition.requirements.memory"


@pytest.mark.parametrize(
    ("text", "ms"),
    [("20m", 1_200_000), ("1h30m", 5_400_000), ("90s", 90_000), ("250ms", 250), ("1.5s", 1500), ("7d", 604_800_000)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["20", "", "m", "-5m", "30m1h", "5m5m", "1.5h", "soon", "\u0663s"])
def test_an_unclear_duration_is_refused(text: str) -> None:
    with pytest.raises(BadUnit, match="is not a duration"):
        parse_duration(text)


def test_for_people() -> None:
    assert [format_size(n) for n in (17, 1536, 2 << 30)] == ["17 B", "1.5 KiB", "2 GiB"]
    assert [format_duration(n) for n in (850, 2400, 1_200_000, 5_400_000)] == ["850 ms", "2.4 s", "20m", "1h30m"]


@pytest.mark.parametrize(
    ("text", "ok"), [("4096t", True), ("4p", True), ("4194305g", False), ("16384p", False), ("999999999999999p", False)]
)
def test_a_size_has_a_largest_value_which_the_error_names(text: str, ok: bool) -> None:
    if ok:
        assert parse_size(text) == SIZE_MAX
        return
    with pytest.raises(BadUnit, match=r"from 0 B to 4096 TiB") as caught:
        parse_size(text, field="definition.requirements.memory")
    assert caught.value.field == "definition.requirements.memory"


@pytest.mark.parametrize(("text", "ok"), [("36500d", True), ("36501d", False), ("999999d999999h", False)])
def test_a_duration_has_a_longest_value_which_the_error_names(text: str, ok: bool) -> None:
    if ok:
        assert parse_duration(text) == DURATION_MAX
        return
    with pytest.raises(BadUnit, match=r"from 0ms to 36500d"):
        parse_duration(text)


def test_a_field_that_knows_no_zero_refuses_it() -> None:
    assert (parse_size("0b"), parse_duration("0s")) == (0, 0)
    assert (parse_size("1b", least=1), parse_duration("1ms", least=1)) == (1, 1)
    with pytest.raises(BadUnit, match="from 1 B"):
        parse_size("0b", least=1)
    with pytest.raises(BadUnit, match="from 1ms"):
        parse_duration("0s", least=1)
