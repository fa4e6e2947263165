"""Files of strangers: shown, but never a script, a style or a page of this origin."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse

from asman_server.rest.hostile import BYTES, elsewhere, file_headers, shown_as
from asman_shared.errors import NotFound


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    "kind",
    [
        "text/javascript",
        "application/javascript; charset=utf-8",
        "application/x-javascript",
        "application/ecmascript",
        "text/jscript",
        "text/livescript",
        "text/vbscript",
        "TEXT/CSS",
        "application/wasm",
        "text/xsl",
        "application/xslt+xml",
        "application/importmap+json",
        "application/speculationrules+json",
    ],
)
def test_no_stored_byte_is_ever_a_script_or_style(kind: str) -> None:
    headers = file_headers(kind, "inline")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "text/plain", "application/json", "text/csv; header=present"]
)
def test_other_media_types_stay(kind: str) -> None:
    assert shown_as(kind) == kind
    assert file_headers(kind, "inline")["Content-Security-Policy"].startswith("sandbox;")


@pytest.mark.parametrize(
    "kind", ["", "html", "text/", "/x", "text/é", "text/html\r\nX-Evil: 1", "a/b/c", "x" * 300, "text/ht ml"]
)
def test_what_is_no_media_type_is_plain_bytes(kind: str) -> None:
    assert shown_as(kind) == BYTES


@pytest.mark.parametrize("kind", ["image/png", "Video/mp4", "audio/ogg"])
def test_other_pages_may_embed_pictures_sound_and_films(kind: str) -> None:
    assert file_headers(kind, "inline")["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_a_program_is_sent_on_to_an_address_that_a_stranger_named() -> None:
    for dest in ("", "empty", "image"):
        answer = elsewhere(request(sec_fetch_dest=dest), "https://other.example/x?a=1&b=2")
        assert isinstance(answer, RedirectResponse)
        assert answer.headers["location"] == "https://other.example/x?a=1&b=2"


def test_an_address_on_this_hub_is_gone_to() -> None:
    for dest in ("", "document"):
        answer = elsewhere(request(sec_fetch_dest=dest), "/f/x?a=1")
        assert (answer.status_code, answer.headers["location"]) == (302, "/f/x?a=1")


@pytest.mark.parametrize("dest", ["document", "iframe", "frame", "embed", "object"])
def test_a_person_is_asked_before_leaving_for_another_site(dest: str) -> None:
    answer = elsewhere(request(sec_fetch_dest=dest), 'https://other.example/x?"<b>')
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert b'href="https://other.example/x?&quot;&lt;b&gt;"' in bytes(answer.body)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//other.example/x",
        "///other.example/x",
        "/\\other.example/x",
        "f/x",
        "file:///x",
        "https:///x",
        "",
        "https://a/\nb",
    ],
)
def test_only_addresses_of_the_web_are_named(url: str) -> None:
    with pytest.raises(NotFound, match="can't be fetched"):
        elsewhere(request(), url)
