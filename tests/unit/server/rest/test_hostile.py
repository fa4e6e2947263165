"""Files of strangers: shown, but never a script, a style or a page of this origin."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse

from asman_server.rest.hostile import BYTES, elsewhere, file_headers, shown_as
from asman_shared.errors import Forbidden, NotFound


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


@pytest.mark.parametrize("dest", ["", "empty", "image", "video", "audio"])
def test_a_page_of_this_hub_loads_nothing_from_where_a_stranger_says(dest: str) -> None:
    own = request(sec_fetch_dest=dest, sec_fetch_site="same-origin", host="hub.example")
    with pytest.raises(Forbidden, match=r"'127\.0\.0\.1:631'"):
        elsewhere(own, "http://127.0.0.1:631/x")
    # A page of another origin and a program are sent on.
    for other in (request(sec_fetch_dest=dest, sec_fetch_site="cross-site"), request()):
        assert elsewhere(other, "http://127.0.0.1:631/x").status_code == 302


@pytest.mark.parametrize("url", ["/f/x?a=1", "https://hub.example:8443/f/x?a=1"])
def test_an_address_on_this_hub_is_gone_to(url: str) -> None:
    for dest in ("", "document", "image"):
        own = request(sec_fetch_dest=dest, sec_fetch_site="same-origin", host="hub.example:8443")
        answer = elsewhere(own, url)
        assert (answer.status_code, answer.headers["location"]) == (302, url)


@pytest.mark.parametrize(
    "url", ["https://hub.example.other.example/x", "https://hub.example\\@other.example/x", "https://hub.example:1/x"]
)
def test_no_other_address_looks_like_one_on_this_hub(url: str) -> None:
    with pytest.raises(Forbidden):
        elsewhere(request(sec_fetch_site="same-origin", host="hub.example"), url)


@pytest.mark.parametrize("url", ["//[x", "http://[x", "//other.example/x", "//", "javascript:alert(1)", "http://h/\n"])
def test_an_address_that_can_not_be_read_is_not_found(url: str) -> None:
    for dest in ("", "document", "image"):
        with pytest.raises(NotFound):
            elsewhere(request(sec_fetch_dest=dest), url)


@pytest.mark.parametrize("dest", ["document", "iframe", "frame", "embed", "object"])
def test_a_person_is_asked_before_leaving_for_another_site(dest: str) -> None:
    answer = elsewhere(request(sec_fetch_dest=dest), 'https://other.example/x?"<b>')
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert b'href="https://other.example/x?&quot;&lt;b&gt;"' in bytes(answer.body)


def test_a_person_is_asked_on_a_hub_without_tls_too_where_browsers_do_not_say_what_they_want() -> None:
    navigation = request(accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert elsewhere(navigation, "https://other.example/x").status_code == 200
    for accept in ("*/*", "image/avif,image/webp,*/*;q=0.8"):
        assert elsewhere(request(accept=accept), "https://other.example/x").status_code == 302


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
