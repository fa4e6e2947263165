"""Credentials of registries, as docker login writes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from asman_shared.errors import BadRequest
from asman_worker.images.credentials import Credentials
from asman_worker.images.reference import DEFAULT_REGISTRY


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


def test_credentials_as_windows_writes_them_mean_the_same(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xef\xbb\xbf" + b'{"auths":\r\n{"hub.example": {"username": "u", "password": "p"}}}\r\n')
    assert Credentials(file).of("hub.example") == {"serveraddress": "hub.example", "username": "u", "password": "p"}


@pytest.mark.parametrize("text", ["not json s3cret", "[]", '{"auths": ["s3cret"]}', '{"auths": 3}'])
def test_a_file_of_credentials_that_can_not_be_read_is_told_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(BadRequest) as caught:
        Credentials(file).check()
    assert "s3cret" not in caught.value.message
    assert "docker login" in caught.value.message
