"""Signed addresses: good for one thing, for a while."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from asman_server.blobs.signing import SECRET_BYTES, Signer, load_secret
from asman_shared.errors import Forbidden

SIGNER = Signer(b"secret")


def taken_apart(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query))


def test_what_was_signed_is_granted_with_what_it_was_signed_for() -> None:
    path, query = taken_apart(SIGNER.sign("PUT", "/b/abc", expires=100, extra="12 bytes & more"))
    assert SIGNER.check("PUT", path, query, now=100) == "12 bytes & more"
    path, query = taken_apart(SIGNER.sign("GET", "/b/abc", expires=100))
    assert SIGNER.check("GET", path, query, now=0) == ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "GET"}, "is wrong"),
        ({"path": "/b/abd"}, "is wrong"),
        ({"expires": "101"}, "is wrong"),
        ({"for": "13"}, "is wrong"),
        ({"signature": "AAAA"}, "is wrong"),
        ({"signature": "ü"}, "is wrong"),
        ({"expires": "soon"}, "needs a signature"),
        ({"expires": None}, "needs a signature"),
        ({"signature": None}, "needs a signature"),
        ({"now": "101"}, "has expired"),
    ],
)
def test_anything_else_is_refused(change: dict[str, str | None], sentence: str) -> None:
    path, query = taken_apart(SIGNER.sign("PUT", "/b/abc", expires=100, extra="12"))
    method, now = change.get("method") or "PUT", float(change.get("now") or 0)
    path = change.get("path") or path
    for name in ("expires", "for", "signature"):
        if name in change:
            value = change[name]
            query = {k: v for k, v in query.items() if k != name} | ({name: value} if value is not None else {})
    with pytest.raises(Forbidden, match=sentence):
        SIGNER.check(method, path, query, now=now)


def test_another_hub_s_signature_is_worth_nothing() -> None:
    path, query = taken_apart(Signer(b"other").sign("PUT", "/b/abc", expires=100))
    with pytest.raises(Forbidden):
        SIGNER.check("PUT", path, query, now=0)


def test_the_secret_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    made = load_secret(path)
    assert len(made) == SECRET_BYTES
    assert load_secret(path) == made
    assert path.stat().st_mode & 0o077 == 0
    assert [found.name for found in tmp_path.iterdir()] == ["secret"]
