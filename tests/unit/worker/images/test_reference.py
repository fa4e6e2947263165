from __future__ import annotations

import pytest

from asman_shared.errors import BadDefinition
from asman_worker.images.reference import DEFAULT_REGISTRY, ImageReference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("alpine", f"{DEFAULT_REGISTRY}/library/alpine:latest", "alpine:latest"),
        ("alpine:3.19.1", f"{DEFAULT_REGISTRY}/library/alpine:3.19.1", "alpine:3.19.1"),
        ("me/tool", f"{DEFAULT_REGISTRY}/me/tool:latest", "me/tool:latest"),
        (f"index.{DEFAULT_REGISTRY}/library/alpine", f"{DEFAULT_REGISTRY}/library/alpine:latest", "alpine:latest"),
        ("hub.example/me/tool:v2", "hub.example/me/tool:v2", "hub.example/me/tool:v2"),
        ("localhost:5000/a/b/c", "localhost:5000/a/b/c:latest", "localhost:5000/a/b/c:latest"),
        (f"alpine@{DIGEST}", f"{DEFAULT_REGISTRY}/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"{DEFAULT_REGISTRY}/library/alpine:3@{DIGEST}", f"alpine:3@{DIGEST}"),
    ],
)
def test_a_name_is_read_as_engines_read_it(text: str, full: str, familiar: str) -> None:
    reference = ImageReference.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)


@pytest.mark.parametrize(
    "text",
    [
        "", "Alpine", "a b", "../x", "a//b", "/a", "a:", "a:b:c", "a@sha256:12", "alpine?x=1", "a/../b", "-a", "a\n",
        "http://host/a", "x" * 600, "hub.example/", "a#b", "a%2fb", "hub.example/a:t/../../x", "sha256:" + "a" * 200,
    ],
)  # fmt: skip
def test_what_can_not_be_an_image_is_refused(text: str) -> None:
    with pytest.raises(BadDefinition):
        ImageReference.parse(text)


def test_an_image_by_its_id_is_a_name_like_any_other_and_opens_nothing() -> None:
    assert str(ImageReference.parse("sha256:" + "b" * 64)) == f"{DEFAULT_REGISTRY}/library/sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("alpine", True),
        ("alpine:3*", True),
        (f"{DEFAULT_REGISTRY}/library/*", True),
        ("*", True),
        ("alpine:4", False),
        ("library/alpine", False),
        ("hub.example/*", False),
    ],
)
def test_patterns_fit_the_name_in_full_and_as_people_write_it(pattern: str, fits: bool) -> None:
    assert ImageReference.parse("alpine:3.19").matches(pattern) is fits
