"""Reports from workers of the dialect: what they mean, however odd they are."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from asman_server.dialect.incoming import Value
from asman_server.dialect.outcomes import SAFE_INT, bytes_of, lines_of, outcome_of, phase_of, result_logs
from asman_shared import limits
from asman_shared.definition import DataRef
from asman_shared.errors import BadDefinition
from asman_shared.messages import STDERR, STDOUT, Outcome
from asman_shared.states import Fault, Phase


async def outcome(reason: str, result: Any = None, message: str | None = None) -> Outcome | None:
    async def keep(body: bytes, sha256: str) -> None:
        raise AssertionError("nothing is to be kept")

    return await outcome_of(Value(reason=reason, result=result, message=message), 3, keep)


async def outputs(found: dict[str, Any]) -> tuple[Outcome, dict[str, bytes]]:
    kept: dict[str, bytes] = {}

    async def keep(body: bytes, sha256: str) -> None:
        kept[sha256] = body

    made = await outcome_of(Value(reason="Success", result={"outputs": found}), 0, keep)
    assert made is not None
    return made, kept


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ("docker image pull", Phase.PULLING),
        ("cloning repo", Phase.BUILDING),
        ("docker build", Phase.BUILDING),
        ("Running", Phase.RUNNING),
        ("", Phase.RUNNING),
        ("anything", Phase.RUNNING),
    ],
)
def test_a_step_is_a_phase_and_an_unknown_one_is_the_run(step: str, phase: Phase) -> None:
    assert phase_of(step) is phase


def test_a_text_of_several_lines_is_several_lines_with_numbers_of_their_own() -> None:
    made = lines_of([["a\nb\n", 5], ["c\r\n", 6, True]], 10, Phase.RUNNING, 99)
    assert [(line.seq, line.time, line.stream, line.text) for line in made] == [
        (10, 5, STDOUT, "a"),
        (11, 5, STDOUT, "b"),
        (12, 6, STDERR, "c"),
    ]


@pytest.mark.parametrize("entry", [[], [5, 5], [None], [["a"], 1]])
def test_what_is_no_line_is_passed_over(entry: list[Any]) -> None:
    made = lines_of([entry, ["a", 1]], 0, Phase.RUNNING, 99)
    assert [(line.seq, line.text) for line in made] == [(0, "a")]


@pytest.mark.parametrize(
    ("time", "told"), [(0, 0), (1.9, 1), (SAFE_INT, SAFE_INT), (SAFE_INT + 1, 99), (-1, 99), ("5", 99), (None, 99)]
)
def test_a_line_without_a_time_that_can_be_has_the_present_one(time: Any, told: int) -> None:
    (line,) = lines_of([["a", time]], 0, Phase.RUNNING, 99)
    assert line.time == told


def test_an_empty_line_is_a_line_and_a_long_one_is_cut_into_several() -> None:
    most = limits.LOG_LINE_BYTES
    made = lines_of([["", 1], ["x" * most, 1], ["y" * (most + 1), 1]], 0, Phase.RUNNING, 99)
    assert [len(line.text) for line in made] == [0, most, most, 1]


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 3), (None, 0), (-1, -1), (2**32 - 1, 2**32 - 1), (2**40, 0)])
async def test_a_run_that_ended_by_itself_has_its_exit_code(code: int | None, told: int) -> None:
    made = await outcome("Success", {"StatusCode": code})
    assert made is not None
    assert (made.kind, made.exit_code, made.lines) == ("exited", told, 3)


async def test_a_run_that_took_too_long_says_so() -> None:
    made = await outcome("TimedOut")
    assert made is not None
    assert (made.kind, made.message) == ("timed_out", "its worker stopped it: its time limit passed")


@pytest.mark.parametrize(
    ("result", "message", "said"),
    [
        ({"error": "no such image"}, None, "no such image"),
        ({"error": {"code": 5}}, None, '{"code":5}'),
        ({"error": "inner"}, "outer", "outer"),
        (None, None, "its worker could not run it and did not say why"),
        ({"error": "x" * 20_000}, None, "x" * 10_000),
        ({"StatusCode": "one"}, None, "its worker sent a result that can't be read"),
    ],
)
async def test_an_error_says_why_as_far_as_it_is_known(result: Any, message: str | None, said: str) -> None:
    made = await outcome("Error", result, message)
    assert made is not None
    assert (made.kind, made.fault) == ("error", Fault.JOB)
    assert made.message.startswith(said)
    assert len(made.message) <= 10_000


@pytest.mark.parametrize("reason", ["WorkerLost", "Cancelled", "", "Other"])
async def test_a_job_that_was_only_given_up_has_no_outcome(reason: str) -> None:
    assert await outcome(reason) is None


@pytest.mark.parametrize(("duration", "told"), [(5.7, 5), (None, 0), (-3, 0), (SAFE_INT, SAFE_INT), (1e300, 0)])
async def test_a_duration_that_can_not_be_is_none(duration: Any, told: int) -> None:
    made = await outcome("Success", {"duration": duration})
    assert made is not None
    assert made.duration == told


def test_logs_that_came_with_a_result_are_found_if_it_can_be_read() -> None:
    assert result_logs(Value(result={"logs": [["a", 1]]})) == [["a", 1]]
    assert result_logs(Value(result={"logs": 5})) == []
    assert result_logs(Value(result="text")) == []


async def test_outputs_come_in_every_form_that_a_ref_has() -> None:
    key = "ab" * 32
    made, kept = await outputs(
        {
            "plain": "text",
            "a.txt": {"value": "text"},
            "b.bin": {"type": "base64", "value": "AAE="},
            "c.json": {"type": "json", "value": {"n": 1}},
            "d": {"type": "key", "value": f"{key}.png"},
            "e": {"type": "url", "value": "https://example.org/x"},
        }
    )
    found = {name: (file.size, file.sha256) for name, file in made.result.outputs.items()}
    assert found["a.txt"] == found["plain"] == (4, hashlib.sha256(b"text").hexdigest())
    assert found["b.bin"] == (2, hashlib.sha256(b"\x00\x01").hexdigest())
    assert found["c.json"] == (7, hashlib.sha256(b'{"n":1}').hexdigest())
    assert (found["d"], found["e"]) == ((0, key), (0, ""))
    assert (kept, made.result.skipped) == ({}, {})


async def test_an_output_of_the_largest_size_stays_inside_and_a_larger_one_is_kept_as_a_blob() -> None:
    small, large = "s" * limits.INLINE_BYTES, "l" * (limits.INLINE_BYTES + 1)
    made, kept = await outputs({"small": {"value": small}, "large": {"value": large}})
    digest = hashlib.sha256(large.encode()).hexdigest()
    assert kept == {digest: large.encode()}
    assert made.result.outputs["small"].ref.value == small
    assert made.result.outputs["large"].ref == DataRef(digest, "key")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("../up", "x"),
        ("/abs", "x"),
        ("a", {"type": "base64", "value": "A"}),
        ("a", {"type": "url", "value": "javascript:alert(1)"}),
        ("a", {"type": "url", "value": 5}),
        ("a", {"type": "nothing", "value": "x"}),
        ("a", {"no": "value"}),
    ],
)
async def test_an_output_that_can_not_be_used_is_skipped_with_its_reason(name: str, value: Any) -> None:
    made, _ = await outputs({name: value, "good": "x"})
    assert list(made.result.outputs) == ["good"]
    assert made.result.skipped[name]


async def test_of_more_outputs_than_there_may_be_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INPUTS", 3)
    monkeypatch.setattr(limits, "TAGS", 2)
    made, _ = await outputs({f"o{number}": "x" for number in range(9)})
    assert list(made.result.outputs) == ["o0", "o1", "o2"]
    assert list(made.result.skipped) == ["o3", "o4"]


def test_bytes_of_a_ref_that_is_not_base64_are_an_error() -> None:
    assert bytes_of(DataRef("AA==", "base64")) == b"\x00"
    with pytest.raises(BadDefinition, match="not base64"):
        bytes_of(DataRef("A", "base64"))
