"""Results of workers, before they get as far as the journal."""

from __future__ import annotations

import pytest

from asman_server.sessions.worker import _check_storable
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
