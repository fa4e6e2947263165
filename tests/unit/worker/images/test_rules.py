"""The operator's rules for images: what is denied is refused, and so is what no rule allows."""

from __future__ import annotations

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.images.reference import BUILT_REGISTRY, ImageReference
from asman_worker.images.rules import ImageRules


def image_ok(rules: ImageRules, name: str) -> bool:
    try:
        rules.check(ImageReference.parse(name))
    except ExecutionError as error:
        return error.fault != "worker"
    return True


def build_ok(rules: ImageRules, source: str) -> bool:
    try:
        rules.check_build(source)
    except ExecutionError as error:
        return error.fault != "worker"
    return True


def test_without_rules_everything_may_be_used() -> None:
    rules = ImageRules()
    assert not rules.strict
    assert image_ok(rules, "anything")
    assert build_ok(rules, "https://example.org/x.git")


def test_what_is_denied_is_refused_whatever_is_allowed() -> None:
    rules = ImageRules(allow=["alpine*"], deny=["alpine:3.1*"])
    assert rules.strict
    assert image_ok(rules, "alpine:3.20")
    assert not image_ok(rules, "alpine:3.19")


@pytest.mark.parametrize(
    ("denied", "names"),
    [
        ("ghcr.io/*", ["ghcr.io/a/b", "GHCR.io/a/b", "ghcr.io:443/a/b", "Ghcr.IO:443/a/b:1"]),
        ("GHCR.io/*", ["ghcr.io/a/b", "ghcr.io:443/a/b"]),
        ("ghcr.io:443/a/*", ["ghcr.io/a/b", "GHCR.IO/a/b"]),
        (
            "alpine",
            ["alpine", "docker.io:443/library/alpine", "Docker.io/alpine", "registry-1.docker.io/library/alpine"],
        ),
    ],
)
def test_a_registry_has_one_name_for_rules_however_it_is_written(denied: str, names: list[str]) -> None:
    for name in names:
        assert not image_ok(ImageRules(deny=[denied]), name), name
        assert image_ok(ImageRules(allow=[denied]), name), name
    assert image_ok(ImageRules(deny=[denied]), "quay.io/a/b")
    assert image_ok(ImageRules(deny=["localhost:443/*"]), "localhost/a")


def test_a_denied_build_is_denied_in_letters_of_any_case_and_as_a_part_of_another() -> None:
    rules = ImageRules(allow=["build:https://github.com/me/*"], deny=["build:https://github.com/Evil/*"])
    for name in ("https://github.com/evil/x", "https://github.com/EVIL/x"):
        assert not build_ok(rules, name)
        with pytest.raises(ExecutionError, match="deny-image"):
            rules.check_submodule(name)
    rules.check_submodule("https://github.com/you/part")


def test_of_images_those_that_are_allowed_are_enough() -> None:
    rules = ImageRules(allow=["hub.example/*"])
    assert image_ok(rules, "hub.example/a/b:1")
    assert not image_ok(rules, "alpine")
    assert not image_ok(rules, "hub.example.evil/a")


def test_a_build_is_judged_by_where_it_comes_from() -> None:
    rules = ImageRules(allow=["build:https://github.com/me/*"], deny=["build:https://github.com/me/bad*"])
    assert build_ok(rules, "https://github.com/me/tool")
    assert not build_ok(rules, "https://github.com/me/bad.git")
    assert not build_ok(rules, "https://github.com/you/tool")
    assert not build_ok(rules, "")


def test_text_alone_is_built_only_where_that_is_allowed() -> None:
    assert build_ok(ImageRules(allow=["build:"]), "")
    assert not build_ok(ImageRules(deny=["build:*"]), "")
    assert not build_ok(ImageRules(allow=["*pine"]), "https://example.org/x")


def test_what_workers_built_can_not_be_named_whatever_is_allowed() -> None:
    with pytest.raises(ExecutionError, match="name the build instead"):
        ImageRules(allow=["*"]).check(ImageReference.parse(f"{BUILT_REGISTRY}/x"))
