"""Reports from workers of the dialect: what they mean, however odd they are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import pytest

from asman_server.dialect.incoming import Value
from asman_server.dialect.live_logs import log_of
from asman_server.dialect.outcomes import (
    SAFE_INT,
    SKIPPED_BYTES,
    SLICE_SIZE,
    SLICE_STEPS,
    bytes_of,
    lines_of,
    number,
    outcome_of,
    phase_of,
    result_logs,
)
from asman_server.dialect.own_files import Ref, Stored
from asman_shared import limits
from asman_shared.definition import DataRef
from asman_shared.errors import SENTENCE_LENGTH, BadDefinition, Unavailable
from asman_shared.identity import json_bytes
from asman_shared.messages import CRLF, LF, STDERR, STDOUT, LogLine, Outcome
from asman_shared.states import Fault, Phase


def lines(logs: list[list[Any]], first: int = 0, now: int = 99) -> list[LogLine]:
    """The lines of a log, numbered."""
    made = [line for part in lines_of(logs, Phase.RUNNING, now) for line in part]
    number(made, first)
    return made


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
    made = lines([["a\nb\n", 5], ["c\r\n", 6, True]], 10)
    assert [(line.seq, line.time, line.stream, line.text, line.end) for line in made] == [
        (10, 5, STDOUT, "a", LF),
        (11, 5, STDOUT, "b", LF),
        (12, 6, STDERR, "c", CRLF),
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ["one\n", "part", "ial\n", "no end"],
        ["10 %\r20 %\r", "done\r\n", "\r", "\n", "\n\n"],
        ["x" * (limits.LOG_LINE_BYTES + 1) + "\n", "y" * limits.LOG_LINE_BYTES + "\r\n", "z" * limits.LOG_LINE_BYTES],
        ["", "\u2028 is no end\n"],
    ],
)
def test_lines_joined_are_the_texts_joined(texts: list[str]) -> None:
    made = lines([[text, 1] for text in texts])
    assert "".join(log_of(line)[0] for line in made) == "".join(texts)
    assert [line.seq for line in made] == list(range(len(made)))


@pytest.mark.parametrize(
    "logs",
    [
        [["\n" * 50_000, 1]],
        [["\r" * 50_000, 1]],
        [["a\n", 1]] * 50_000,
        [["", 1]] * 50_000,
        [[5]] * 50_000,
        [["x" * 5_000_000, 1]],
        [["x" * 60_000 + "\n", 1]] * 100,
    ],
    ids=["line feeds", "carriage returns", "entries", "empty", "no lines", "one long line", "long lines"],
)
def test_a_frame_of_many_lines_is_read_in_small_slices(logs: list[list[Any]]) -> None:
    taken = 0

    class Counted(list[list[Any]]):
        def __iter__(self) -> Iterator[list[Any]]:
            nonlocal taken
            for entry in logs:
                taken += 1
                yield entry

    slices = [
        (len(part), sum(len(line.text) for line in part), taken) for part in lines_of(Counted(), Phase.RUNNING, 1)
    ]
    assert all(
        count <= SLICE_STEPS and size < SLICE_SIZE + limits.LOG_LINE_BYTES and after - before <= SLICE_STEPS
        for (count, size, after), (_, _, before) in zip(slices, [(0, 0, 0), *slices], strict=False)
    )
    assert len(slices) >= 5
    assert "".join(log_of(line)[0] for line in lines(logs)) == "".join(
        entry[0] for entry in logs if isinstance(entry[0], str)
    )


@pytest.mark.parametrize("entry", [[], [5, 5], [None], [["a"], 1], "a", None, 5, {"a": 1}])
def test_what_is_no_line_is_passed_over(entry: Any) -> None:
    made = lines([entry, ["a", 1]])
    assert [(line.seq, line.text) for line in made] == [(0, "a")]


@pytest.mark.parametrize(
    ("time", "told"), [(0, 0), (1.9, 1), (SAFE_INT, SAFE_INT), (SAFE_INT + 1, 99), (-1, 99), ("5", 99), (None, 99)]
)
def test_a_line_without_a_time_that_can_be_has_the_present_one(time: Any, told: int) -> None:
    (line,) = lines([["a", time]])
    assert line.time == told


def test_an_empty_line_is_a_line_and_a_long_one_is_cut_into_several() -> None:
    most = limits.LOG_LINE_BYTES
    made = lines([["\n", 1], ["x" * most, 1], ["y" * (most + 1), 1]])
    assert [len(line.text) for line in made] == [0, most, most, 1]


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, 0), (3, 3), (None, 0), (-(2**31), -(2**31)), (2**32 - 1, 2**32 - 1), ("3", 3), (3.0, 3)],
)
async def test_a_run_that_ended_by_itself_has_its_exit_code(code: Any, told: int) -> None:
    made = await outcome("Success", {"StatusCode": code})
    assert made is not None
    assert (made.kind, made.exit_code, made.lines) == ("exited", told, 3)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            {"StatusCode": 2**32},
            "its worker sent the exit code 4294967296, which is not from -2147483648 to 4294967295",
        ),
        ({"StatusCode": -(10**30)}, "its worker sent the exit code -10000000000"),
        ({"StatusCode": "one"}, "its worker sent a result that can't be read: Expected `int | null`"),
        ({"StatusCode": 1, "outputs": 5}, "its worker sent a result that can't be read: Expected `object | null`"),
    ],
)
async def test_a_run_whose_end_can_not_be_read_is_no_success(result: Any, said: str) -> None:
    made = await outcome("Success", result)
    assert made is not None
    assert (made.kind, made.exit_code, made.fault) == ("error", None, Fault.JOB)
    assert made.message.startswith(said)


@pytest.mark.parametrize("reason", ["Success", "TimedOut", "Error"])
async def test_a_long_sentence_about_an_end_is_cut(reason: str) -> None:
    made = await outcome(reason, {}, "x" * 20_000)
    assert made is not None
    assert made.message == "x" * 10_000


async def test_a_number_that_nobody_can_store_is_the_nearest_double_and_a_long_hash_is_no_output() -> None:
    made, _ = await outputs(
        {
            "huge": {"type": "json", "value": {"n": 10**30}},
            "bare": 10**30,
            "beyond": {"type": "json", "value": 10**400},
            "hash": {"value": "x", "hash": "x" * 300},
        }
    )
    values = {name: file.ref.value for name, file in made.result.outputs.items()}
    assert values == {"huge": {"n": 1e30}, "bare": 1e30}
    assert made.result.skipped == {
        "beyond": "a number is too large: the greatest is about 1.8e308",
        "hash": "the hash of a ref has at most 255 characters",
    }


async def test_outputs_of_any_size_fit_into_one_message_of_the_native_language() -> None:
    sent: dict[str, Any] = {f"small-{n}": "x" * 4000 for n in range(2000)}
    sent |= {f"url-{n}": {"type": "url", "value": "https://h/" + "x" * 200_000} for n in range(12)}
    sent |= {"key": {"type": "key", "value": "x" * limits.FRAME_BYTES}}
    sent |= {"last": {"type": "url", "value": "https://h/" + "x" * 200_000}}
    sent |= {"padded": {"type": "base64", "value": "AAE=" + "\n" * limits.FRAME_BYTES}}
    made, kept = await outputs(sent)
    assert len(msgspec.json.encode(made)) < limits.FRAME_BYTES
    assert sum(name.startswith("small") for name in made.result.outputs) == 2000
    assert set(kept.values()) == {b"x" * 4000, b"\x00\x01"}, "beyond two mebibytes they are blobs"
    assert made.result.skipped["last"] == "the outputs of a job have at most 2.5 MiB besides their files"
    assert made.result.skipped["key"].startswith("there is no file 'xxx")


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


@pytest.mark.parametrize("more", [{"duration": "5"}, {"logs": "text"}, {"logs": [5]}, {"isTimedOut": "no"}])
async def test_a_member_beside_them_that_can_not_be_read_costs_neither_exit_code_nor_outputs(
    more: dict[str, Any],
) -> None:
    sent = {"good": "x", "a": {"type": 5, "value": "x"}, "b": {"hash": [], "value": "x"}, "c": {"more": 1}}
    made = await outcome("Success", {"StatusCode": 3, "outputs": sent, **more})
    assert made is not None
    assert (made.kind, made.exit_code, list(made.result.outputs)) == ("exited", 3, ["good"])
    assert list(made.result.skipped) == ["a", "b", "c"]


def test_logs_that_came_with_a_result_are_found_if_it_can_be_read() -> None:
    assert result_logs(Value(result={"logs": [["a", 1]]})) == [["a", 1]]
    assert result_logs(Value(result={"logs": 5})) == []
    assert result_logs(Value(result={"logs": [5, ["a", 1], "x"], "duration": "x"})) == [["a", 1]]
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


@pytest.mark.parametrize("kind", [{}, {"type": "utf8"}])
@pytest.mark.parametrize("value", [{"a": 1}, None, True, 5, 1.5, [], ["é"]])
async def test_a_text_that_is_no_text_is_stored_as_json_of_the_same_bytes(kind: dict[str, str], value: Any) -> None:
    made, _ = await outputs({"a": {**kind, "value": value}})
    file = made.result.outputs["a"]
    assert file.ref == DataRef(value, "json")
    assert (file.size, file.sha256) == (len(json_bytes(value)), hashlib.sha256(json_bytes(value)).hexdigest())


async def test_base64_with_line_breaks_is_stored_without_them() -> None:
    made, kept = await outputs({"a": {"type": "base64", "value": " AA\r\nEC\n"}, "b": {"type": "base64", "value": ""}})
    assert made.result.outputs["a"].ref == DataRef("AAEC", "base64")
    assert made.result.outputs["a"].size == 3
    assert made.result.outputs["b"].ref == DataRef("", "base64")
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
        ("a", {"type": "base64", "value": "-_-_"}),
        ("a", {"type": "base64", "value": "###"}),
        ("a", {"type": "base64", "value": 5}),
        ("a", {"type": "base64", "value": None}),
        ("a", {"type": "key", "value": 5}),
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


async def test_of_two_names_of_one_file_the_first_output_is_kept_and_the_other_is_told() -> None:
    made, _ = await outputs({"a": "first", "./a": "second"})
    assert [file.ref.value for file in made.result.outputs.values()] == ["first"]
    assert made.result.skipped == {"./a": "it is the same file as another output"}


async def test_of_more_outputs_than_there_may_be_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INPUTS", 3)
    monkeypatch.setattr(limits, "TAGS", 2)
    made, _ = await outputs({f"o{number}": "x" for number in range(9)})
    assert list(made.result.outputs) == ["o0", "o1", "o2"]
    assert list(made.result.skipped) == ["o3", "o4", "…"]
    assert made.result.skipped["…"] == "4 more were not kept"


async def test_many_bad_outputs_do_not_cost_a_good_one_that_comes_after_them() -> None:
    made, _ = await outputs({**{f"../{number}": "x" for number in range(1000)}, "good": "x"})
    assert list(made.result.outputs) == ["good"]
    assert len(made.result.skipped) == limits.TAGS + 1
    assert made.result.skipped["…"] == f"{1000 - limits.TAGS} more were not kept"


LONG = "\u0001é" * 50_000


@pytest.mark.parametrize(
    "bad",
    [
        {LONG: "x"},
        {"a" * 200 + LONG: "x"},
        {"a": {"type": LONG, "value": "x"}},
        {"a": {LONG: 1, "value": "x"}},
        {"a": {"value": "x", "hash": LONG}},
        {"a": {"type": "key", "value": LONG}},
        {"a": {"type": "url", "value": LONG}},
        {"a": {"type": "url", "value": f"https://{LONG}"}},
        {"a": {"type": "base64", "value": LONG}},
        {"a" + "/b" * 50_000: "x"},
        {f"{number}\n" + LONG: {"type": LONG, "value": "x"} for number in range(200)},
    ],
)
@pytest.mark.parametrize("reason", ["Success", "Error"])
async def test_every_result_that_is_accepted_can_be_read_again(bad: dict[str, Any], reason: str) -> None:
    async def keep(body: bytes, sha256: str) -> None:
        raise AssertionError("nothing is to be kept")

    value = Value(reason=reason, message=LONG, result={"outputs": {**bad, "good": "x"}, "error": LONG})
    made = await outcome_of(value, 0, keep)
    assert made is not None
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Outcome) == made
    assert "good" in made.result.outputs
    assert made.result.skipped
    assert all(len(why) <= SENTENCE_LENGTH for why in made.result.skipped.values())
    assert len(msgspec.json.encode(made.result.skipped)) < SKIPPED_BYTES + 100


def test_bytes_of_a_ref_that_is_not_base64_are_an_error() -> None:
    assert bytes_of(DataRef("AA==", "base64")) == b"\x00"
    with pytest.raises(BadDefinition, match="not base64"):
        bytes_of(DataRef("A", "base64"))


async def test_an_output_that_cant_be_stored_now_is_not_left_out() -> None:
    async def away(body: bytes, sha256: str) -> None:
        raise Unavailable("the store of blobs is away")

    large = {"type": "utf8", "value": "x" * (limits.INLINE_BYTES + 1)}
    with pytest.raises(Unavailable):
        await outcome_of(Value(reason="Success", result={"outputs": {"a.txt": large}}), 0, away)


async def test_the_size_of_a_file_of_this_hub_is_known_and_a_size_of_zero_means_unknown() -> None:
    key, other = "ab" * 32, "cd" * 32
    url = f"https://hub.example/f/{key}"

    async def keep(body: bytes, sha256: str) -> None:
        raise AssertionError("nothing is to be kept")

    async def find(refs: Collection[Ref]) -> dict[Ref, Stored]:
        assert set(refs) == {("key", key), ("url", url), ("key", other), ("url", "https://example.org/x")}
        return {("key", key): Stored(key, 7), ("url", url): Stored(key, 7), ("key", other): Stored(other, None)}

    sent = {
        "key": {"type": "key", "value": key},
        "own": {"type": "url", "value": url},
        "gone": {"type": "key", "value": other},
        "far": {"type": "url", "value": "https://example.org/x"},
        "text": "inline",
    }
    made = await outcome_of(Value(reason="Success", result={"outputs": sent}), 0, keep, find)
    assert made is not None
    files = made.result.outputs
    assert {name: file.known_size for name, file in files.items()} == {
        "key": 7, "own": 7, "gone": None, "far": None, "text": 6,
    }  # fmt: skip
    assert files["own"].ref == DataRef(key, "key")


async def test_two_outputs_of_which_one_would_be_the_folder_of_the_other_are_one_output() -> None:
    made, _ = await outputs({"a": "file", "a/b": "below", "c/d/e": "deep", "c/d": "late", "ab": "other"})
    assert set(made.result.outputs) == {"a", "c/d/e", "ab"}
    why = "a file and a folder can't have the same name, and another output came first"
    assert made.result.skipped == {"a/b": why, "c/d": why}
