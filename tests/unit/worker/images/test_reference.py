from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from asman_shared.errors import BadDefinition, BadRequest
from asman_worker.images.credentials import Credentials
from asman_worker.images.pull_progress import PullProgress
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


def test_credentials_are_read_as_docker_login_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    packed = base64.b64encode(b"me:pass:word").decode()
    auths = {
        f"https://index.{DEFAULT_REGISTRY}/v1/": {"auth": packed},
        "hub.example": {"username": "u", "password": "p"},
        "r.example": {"identitytoken": "t"},
    }
    file.write_text(json.dumps({"auths": auths}))
    known = Credentials(file)
    assert known.of("docker.io") == {"serveraddress": "docker.io", "username": "me", "password": "pass:word"}
    assert known.of("hub.example") == {"serveraddress": "hub.example", "username": "u", "password": "p"}
    assert known.of("r.example") == {"serveraddress": "r.example", "identitytoken": "t"}
    assert known.of("elsewhere.example") is None
    assert Credentials().of("hub.example") is None


@pytest.mark.parametrize("text", ["not json s3cret", "[]", '{"auths": ["s3cret"]}', '{"auths": 3}'])
def test_a_file_of_credentials_that_can_not_be_read_is_told_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(BadRequest) as caught:
        Credentials(file).check()
    assert "s3cret" not in caught.value.message
    assert "docker login" in caught.value.message


def test_progress_is_bytes_while_layers_arrive_and_then_layers() -> None:
    progress = PullProgress()

    def say(layer: str, status: str, current: int = 0, total: int = 0) -> tuple[int, int, str]:
        progress.feed({"id": layer, "status": status, "progressDetail": {"current": current, "total": total}})
        return progress.now

    assert say("a", "Pulling fs layer") == (0, 1, "layers")
    say("b", "Already exists")
    assert say("a", "Downloading", 10, 100) == (10, 100, "bytes")
    assert say("a", "Downloading", 5, 100) == (10, 100, "bytes")
    assert say("a", "Download complete") == (1, 2, "layers")
    assert say("a", "Pull complete") == (2, 2, "layers")
    progress.feed({"status": "Digest: sha256:…"})
    assert (progress.layers, progress.bytes) == ((2, 2), (100, 100))
