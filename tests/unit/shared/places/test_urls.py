"""URLs of places that only workers reach."""

from __future__ import annotations

import pytest

from asman_shared import limits
from asman_shared.definition import DataRef, Definition
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition
from asman_shared.identity import job_id
from asman_shared.places.urls import (
    FOLDER_TAG,
    KEY_LENGTH,
    OUTPUT_LENGTH,
    Place,
    bucket_tags,
    folder_of,
    folder_tags,
    is_place,
    output_of,
    place_of,
    url_within,
    within,
)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///srv/a%20b/c", Place("file", "", "/srv/a b/c", folder=False)),
        ("file:///srv/d/", Place("file", "", "/srv/d", folder=True)),
        ("file:///a%23%3F%25", Place("file", "", "/a#?%", folder=False)),
        ("s3://bucket/a b/c?d#e", Place("s3", "bucket", "a b/c?d#e", folder=False)),
        ("s3://bucket/p/", Place("s3", "bucket", "p", folder=True)),
        ("s3://bucket", Place("s3", "bucket", "", folder=True)),
        (f"s3://bucket/{'/'.join(['k' * 204] * 5)}", Place("s3", "bucket", "/".join(["k" * 204] * 5), folder=False)),
    ],
)
def test_a_url_is_read(url: str, place: Place) -> None:
    assert place_of(url, "here") == place


@pytest.mark.parametrize(
    "url",
    [
        "file://host/srv",
        "file://",
        "file:///",
        "file:///a/../b",
        "file:///a/%2e%2e/b",
        "file:///a/./b",
        "file:///a//b",
        "file:///a%00",
        "file:///a%0ab",
        "file:///a%ff",
        "file:///a?b",
        "file:///a#b",
        f"file:///{'a' * (limits.NAME_LENGTH + 1)}",
        f"file:///{'a/' * limits.PATH_LENGTH}b",
        "s3://",
        "s3:///key",
        "s3://b/key",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "s3://bucket/a\nb",
        f"s3://{'b' * 64}/key",
        f"s3://bucket/{'k/' * (KEY_LENGTH // 2)}k",
    ],
)
def test_what_could_lead_elsewhere_or_is_too_long_is_refused(url: str) -> None:
    with pytest.raises(BadDefinition, match="here"):
        raise_with_field(url)


def raise_with_field(url: str) -> None:
    try:
        place_of(url, "here")
    except BadDefinition as error:
        raise BadDefinition(f"{error.message} ({error.field})") from None


def test_an_output_may_end_in_a_url() -> None:
    assert output_of("out/a=b") == ("out/a=b", "")
    assert output_of("out/a=b=s3://bucket/k=v") == ("out/a=b", "s3://bucket/k=v")
    assert output_of("out/d=file:///srv/x=s3://y") == ("out/d", "file:///srv/x=s3://y")
    assert url_within("file:///srv/", "a b") == "file:///srv/a%20b"
    assert url_within("s3://bucket/p/", "a b") == "s3://bucket/p/a b"


def test_tags_say_the_folder_and_whether_it_is_writable() -> None:
    assert folder_tags("/srv", writable=False) == [FOLDER_TAG, f"{FOLDER_TAG}:/srv"]
    found = [folder_of(tag) for tag in folder_tags("/srv", writable=True)]
    assert found == [None, ("/srv", False), None, ("/srv", True)]
    assert bucket_tags("bucket", writable=True) == ["asman:s3-bucket:bucket", "asman:s3-bucket:bucket:rw"]
    assert (within("/srv/a", "/srv"), within("/srv", "/srv"), within("/srvx", "/srv")) == (True, True, False)


def test_a_definition_names_places_only_with_the_tag_of_workers_that_reach_them() -> None:
    ref = DataRef("s3://bucket/presignedurl/x", "url")
    tags = ["asman:s3-bucket:bucket"]
    made = Definition(image="a", config_files={"/x": ref}, outputs=["o=s3://bucket/p/"], tags=tags)
    assert check(made).tags == frozenset(tags)
    for wrong in (None, ["asman:s3-bucket:buck"], ["asman:s3-bucket:bucket2"]):
        with pytest.raises(BadDefinition, match="asman:s3-bucket:bucket"):
            check(Definition(image="a", config_files={"/x": ref}, tags=wrong))
        with pytest.raises(BadDefinition, match="asman:s3-bucket:bucket"):
            check(Definition(image="a", outputs=["o=s3://bucket/p/"], tags=wrong))
    with pytest.raises(BadDefinition, match="only config files"):
        check(Definition(image="a", inputs={"x": ref}, tags=tags))
    with pytest.raises(BadDefinition, match="too long"):
        check(Definition(image="a", outputs=[f"o=s3://bucket/{'k' * OUTPUT_LENGTH}"], tags=tags))


def test_all_of_the_url_of_a_place_is_in_the_id() -> None:
    ids = {job_id(Definition(config_files={"/x": DataRef(f"s3://b-1/presignedurl/{n}", "url")})) for n in range(2)}
    assert len(ids) == 2
    assert is_place("s3://b") and not is_place("https://b") and not is_place(7)
