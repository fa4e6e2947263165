from __future__ import annotations

import pytest

from asman_server.storage.blob_changes import blobs_of_definition
from asman_shared.definition import Build, DataRef, Definition
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition


def test_the_uploaded_archive_of_a_build_is_named_by_its_job_and_so_not_collected() -> None:
    key, other = "a" * 64, "b" * 64
    definition = Definition(build=Build(context=f"key:{key}"), inputs={"x": DataRef(other, "key")})
    check(definition)
    assert blobs_of_definition(definition) == [other, key]
    assert blobs_of_definition(Definition(build=Build(context="https://host.example/x.git"))) == []


def test_an_archive_that_can_not_be_one_is_refused_at_once() -> None:
    with pytest.raises(BadDefinition) as caught:
        check(Definition(build=Build(context="key:../../x")))
    assert caught.value.field == "definition.build.context"
