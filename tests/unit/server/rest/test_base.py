"""What all endpoints share: errors as answers, and bytes of strangers that a browser can't be harmed by."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from asman_server.rest.base import CORS, answers, error_response, health, preflight, ref_response
from asman_shared.definition import DataRef
from asman_shared.errors import AsmanError, BadRequest, NotFound, Overloaded
from asman_shared.running.supervisor import Supervisor

REQUEST = Request({"type": "http", "headers": []})


def body_of(response: Response) -> Any:
    return json.loads(bytes(response.body))


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (BadRequest("it is wrong", field="a.b"), 400, {"code": "bad_request", "field": "a.b"}),
        (NotFound("it is away"), 404, {"code": "not_found"}),
        (Overloaded("later"), 429, {"code": "overloaded", "retry": True}),
    ],
)
def test_an_error_is_a_sentence_with_its_code_and_status(error: AsmanError, status: int, more: dict[str, Any]) -> None:
    response = error_response(error)
    assert response.status_code == status
    assert body_of(response) == {"error": error.message, **more}
    assert ("Retry-After" in response.headers) == bool(error.retry)


async def test_whatever_an_endpoint_does_pages_of_any_origin_may_read_it() -> None:
    async def well(_request: Request) -> Response:
        return PlainTextResponse("hello")

    async def badly(_request: Request) -> Response:
        raise NotFound("it is away")

    for endpoint, status in ((well, 200), (badly, 404)):
        response = await answers(endpoint)(REQUEST)
        assert response.status_code == status
        assert all(response.headers[name] == value for name, value in CORS.items())


async def test_a_sender_that_has_gone_is_no_error_of_the_hub() -> None:
    async def left(_request: Request) -> Response:
        raise ClientDisconnect

    assert (await answers(left)(REQUEST)).status_code == 400


async def test_health_and_preflights_are_answered() -> None:
    app = Starlette()
    app.state.hub = SimpleNamespace(supervisor=Supervisor(logging.getLogger("asman.hub"), "hub"))
    assert (await health(Request({"type": "http", "headers": [], "app": app}))).body == b"OK"
    assert (await preflight(REQUEST)).status_code == 204


@pytest.mark.parametrize(
    ("ref", "body"),
    [
        (DataRef("héllo"), "héllo".encode()),
        (DataRef("héllo", "utf8"), "héllo".encode()),
        (DataRef("AAH/", "base64"), b"\x00\x01\xff"),
        (DataRef({"a": [1]}, "json"), b'{"a":[1]}'),
    ],
)
async def test_a_ref_is_its_bytes_which_run_nothing_in_a_browser(ref: DataRef, body: bytes) -> None:
    response = await ref_response(REQUEST, ref, "sub/pa ge.html")
    assert response.body == body
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["content-disposition"] == "inline; filename*=UTF-8''pa%20ge.html"
    assert response.headers["content-security-policy"].startswith("sandbox;")
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_media_type_that_was_told_counts_and_an_unknown_one_is_bytes() -> None:
    assert (await ref_response(REQUEST, DataRef("x"), "a.html", "image/png")).headers["content-type"] == "image/png"
    unknown = await ref_response(REQUEST, DataRef("x"), "a.zzzz")
    assert unknown.headers["content-type"] == "application/octet-stream"


async def test_a_name_can_not_add_a_header() -> None:
    response = await ref_response(REQUEST, DataRef("x"), 'a"\r\nX-Evil: 1.txt')
    assert "x-evil" not in response.headers
    assert "\r" not in response.headers["content-disposition"]


@pytest.mark.parametrize("value", ["a", "é", "!!!!", 3, None, {"a": 1}])
async def test_stored_base64_that_is_none_is_no_error_of_the_hub(value: Any) -> None:
    async def stored(_request: Request) -> Response:
        return await ref_response(REQUEST, DataRef(value, "base64"), "x")

    response = await answers(stored)(REQUEST)
    assert response.status_code == 400
    assert body_of(response)["error"] == "the value of a base64 ref is not base64"


async def test_an_address_is_gone_to() -> None:
    response = await ref_response(REQUEST, DataRef("https://example.org/x", "url"), "x")
    assert (response.status_code, response.headers["location"]) == (302, "https://example.org/x")
