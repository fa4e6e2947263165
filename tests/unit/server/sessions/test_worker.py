"""Results of workers, before they get as far as the journal."""

from __future__ import annotations

import pytest

from asman_server.sessions.worker import _check_storable, _leave_out_bad_names
from asman_shared.definition import DataRef
from asman_shared.errors import BadRequest
from asman_shared.messages import OutputFile, Result


def result(ref: DataRef) -> Result:
    return Result(outputs={"o": OutputFile(ref=ref, size=0, sha256="")})


@pytest.mark.parametrize(
    "ref",
    [
        DataRef("text"),
        DataRef("AAH/", "base64"),
        DataRef({"a": 1}, "json"),
        DataRef("0" * 64, "key"),
        DataRef("/f/x", "url"),
    ],
)
def test_a_ref_with_bytes_can_be_stored(ref: DataRef) -> None:
    _check_storable(result(ref))


@pytest.mark.parametrize(
    "ref",
    [
        DataRef(3),
        DataRef("a", "base64"),
        DataRef(None, "base64"),
        DataRef("../x", "key"),
        DataRef(3, "url"),
        DataRef("http://h:port/", "url"),
    ],
)
def test_a_ref_without_bytes_is_refused_and_its_field_named(ref: DataRef) -> None:
    with pytest.raises(BadRequest) as caught:
        _check_storable(result(ref))
    assert caught.value.field == "outcome.result.outputs.o.ref.value"


def file(text: str) -> OutputFile:
    return OutputFile(ref=DataRef(text), size=len(text), sha256="")


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "", ".", "a//b", "a\0b", "a\nb", "x" * 300, "a/" * 3000]
)
def test_an_output_whose_name_is_no_file_s_is_left_out_and_named(name: str) -> None:
    made = Result(outputs={name: file("bad"), "good": file("good")})
    _leave_out_bad_names(made)
    assert made.outputs == {"good": file("good")}
    (told,) = made.skipped
    assert name.startswith(told)
    assert "the name" in made.skipped[told]


def test_a_name_is_written_in_one_way() -> None:
    made = Result(outputs={"./a": file("1"), "b": file("2"), "./b": file("3")})
    _leave_out_bad_names(made)
    assert made.outputs == {"a": file("1"), "b": file("2")}
    assert made.skipped == {"./b": "it is the same file as another output"}


def test_what_is_left_out_is_bounded() -> None:
    made = Result(outputs={f"../{number}": file("x") for number in range(1000)})
    _leave_out_bad_names(made)
    assert made.outputs == {}
    assert 0 < len(made.skipped) <= 100
