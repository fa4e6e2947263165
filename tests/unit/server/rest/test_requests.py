"""What requests say, read strictly: ids, numbers, times, labels, bodies, and answers that come or do not."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Struct
from starlette.requests import Request
from starlette.types import Message as AsgiMessage

from asman_server.access import Access, Right
from asman_server.bodies import Bodies
from asman_server.reply_to import ReplyTo
from asman_server.rest import requests as module
from asman_server.rest.guard import ACCESS
from asman_server.rest.requests import (
    BODY_BYTES,
    WAIT_LONGEST,
    ask,
    body_of,
    check_query,
    choices,
    duration,
    granted,
    job_of,
    label,
    number,
    while_wanted,
)
from asman_shared import limits
from asman_shared.errors import BadRequest, Conflict, Forbidden, NotFound, TooLarge, Unavailable
from asman_shared.messages import Cancelled, Deleted, Error, JobState, Message
from asman_shared.states import State
from devtools.patience import PATIENCE


def request(query: str = "", path: dict[str, Any] | None = None, *chunks: bytes, **headers: str) -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "path_params": path or {},
        "app": SimpleNamespace(state=SimpleNamespace(hub=SimpleNamespace(bodies=Bodies(), sender=lambda _: ""))),
    }
    waiting = list(chunks)

    async def receive() -> AsgiMessage:
        body = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    return Request(scope, receive)


class Body(Struct, forbid_unknown_fields=True):
    size: int
    names: list[str] = []


@pytest.mark.parametrize("right", list(Right))
def test_the_queue_is_granted_that_the_guard_has_found(right: Right) -> None:
    asked = request(path={"queue": "~a-key"})
    asked.scope[ACCESS] = Access("my-queue", frozenset({right}))
    assert granted(asked, right) == "my-queue"
    for other in set(Right) - {right}:
        with pytest.raises(Forbidden, match=f"'{other}'"):
            granted(asked, other)


def test_a_job_is_named_by_its_whole_id() -> None:
    assert job_of(request(path={"id": "ab" * 32})) == "ab" * 32
    for wrong in ("", "ab", "AB" * 32, "ab" * 32 + "0", "zz" * 32):
        with pytest.raises(BadRequest) as caught:
            job_of(request(path={"id": wrong}))
        assert caught.value.field == "id"


@pytest.mark.parametrize(
    ("text", "found"), [("", 7), ("n=2", 2), ("n=10", 10), ("n=0002", 2), ("other=5", 7), ("n=3&n=4", 4)]
)
def test_a_number_is_read_within_its_bounds(text: str, found: int) -> None:
    assert number(request(text), "n", 7, least=2, most=10) == found


@pytest.mark.parametrize(
    "text", ["1", "11", "-2", "2.0", "two", "", "+3", "%202", "\N{ARABIC-INDIC DIGIT FIVE}", "9" * 17]
)
def test_any_other_number_is_refused_with_its_bounds(text: str) -> None:
    with pytest.raises(BadRequest, match="'n' is a whole number from 2 to 10") as caught:
        number(request(f"n={text}"), "n", 7, least=2, most=10)
    assert caught.value.field == "n"


def test_the_names_in_a_query_are_those_that_its_address_has() -> None:
    known = {"limit": False, "state": True}
    check_query(request("limit=5&state=a&state=b"), known)
    check_query(request(), {})
    for query, takes, field, says in (
        ("limt=5", known, "limt", "this address has no parameter 'limt'; did you mean 'limit'?"),
        ("verbose=1", known, "verbose", "this address has no parameter 'verbose'; it takes limit, state"),
        ("x", {}, "x", "this address has no parameter 'x'; it takes none"),
        ("limit=1&limit=2", known, "limit", "'limit' stands in the query more than once"),
        ("x" * 9000, {}, "x" * 80, ""),
    ):
        with pytest.raises(BadRequest) as caught:
            check_query(request(query), takes)
        assert (caught.value.field, says in caught.value.message) == (field, True)
        assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty; it must be JSON"),
        (b" ", "the body is empty; it must be JSON"),
        (b"{", "the body is not JSON: it ends too early"),
        (b'{"size" 1}', "the body is not JSON: it can't be read from byte 8 on"),
        (b'{"size": "big"}', "it must be a whole number, and is text"),
        (b'{"size": 1, "names": [' + b"[" * 100_000, "it must be text, and is a list"),
    ],
)
async def test_a_body_that_can_t_be_read_is_told_without_words_of_libraries(body: bytes, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await body_of(request("", None, body), Body)
    assert caught.value.message == says


def test_a_wait_is_read_with_its_unit_and_has_a_longest() -> None:
    assert duration(request(), "timeout", 5) == 5
    assert duration(request("timeout=1m"), "timeout", 5) == 60_000
    assert duration(request(f"timeout={WAIT_LONGEST}ms"), "timeout", 5) == WAIT_LONGEST
    for wrong in (f"{WAIT_LONGEST + 1}ms", "soon", "-1s"):
        with pytest.raises(BadRequest) as caught:
            duration(request(f"timeout={wrong}"), "timeout", 5)
        assert caught.value.field == "timeout"


def test_a_label_has_its_length() -> None:
    assert label(request(), "namespace", "_") == "_"
    assert label(request("namespace=" + "x" * limits.LABEL_LENGTH), "namespace", "_") == "x" * limits.LABEL_LENGTH
    for wrong in ("", "x" * (limits.LABEL_LENGTH + 1)):
        with pytest.raises(BadRequest):
            label(request(f"namespace={wrong}"), "namespace", "_")


def test_words_are_read_in_any_case_and_in_lists_or_again_and_again() -> None:
    words = ["Success", "Failed", "Error"]
    assert choices(request("reason=success,FAILED&reason=Error"), "reason", words) == ["Success", "Failed", "Error"]
    assert choices(request("reason="), "reason", words) == []
    assert choices(request(), "reason", words) == []
    with pytest.raises(BadRequest, match="'reason' is one of Success, Failed, Error"):
        choices(request("reason=success,other"), "reason", words)


async def test_a_body_is_read_from_its_pieces() -> None:
    assert await body_of(request("", None, b'{"size"', b":3}"), Body) == Body(3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"size":"3"}', "size"),
        (b'{"size":3,"names":["a",5]}', "names[1]"),
        (b'{"size":3,"more":1}', None),
        (rb'{"size":3,"names":["a","\ud800"]}', "names[1]"),
        (b"{", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
async def test_a_body_that_can_not_be_read_is_refused_with_its_field(body: bytes, field: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        await body_of(request("", None, body), Body)
    assert caught.value.field == field


async def test_a_body_has_a_largest_size_whether_or_not_it_says_its_size() -> None:
    fits = json.dumps({"size": 1, "names": ["x"]}).encode().ljust(BODY_BYTES)
    assert await body_of(request("", None, fits), Body) == Body(1, ["x"])
    with pytest.raises(TooLarge, match="upload large inputs as blobs"):
        await body_of(request("", None, fits, b" "), Body)
    with pytest.raises(TooLarge):
        await body_of(request("", None, b"{}", content_length=str(BODY_BYTES + 1)), Body)


def state(**more: Any) -> JobState:
    return JobState(id="a", rev=1, state=State.QUEUED, attempt=0, queued=0, **more)


async def test_an_answer_is_what_was_said_first_and_stays_as_it_was() -> None:
    told = state()

    def put(reply_to: ReplyTo) -> None:
        reply_to.say(Cancelled(0, True, told))
        told.rev = 9
        reply_to.say(Cancelled(0, False, told))

    answer = await ask(put, Cancelled)
    assert (answer.released, answer.job.rev) == (True, 1)


async def test_an_error_that_is_answered_is_raised_as_its_class() -> None:
    with pytest.raises(Conflict, match="taken"):
        await ask(lambda reply_to: reply_to.say(Error("conflict", "taken")), Cancelled)


async def test_another_answer_than_was_asked_for_is_a_fault() -> None:
    with pytest.raises(TypeError, match="Deleted came where Cancelled"):
        await ask(lambda reply_to: reply_to.say(Deleted(0, "a")), Cancelled)


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    with pytest.raises(Unavailable, match="ask again"):
        await ask(silent, Cancelled)


def silent(_reply_to: ReplyTo) -> None:
    """Takes a request and says nothing."""


async def test_what_fails_while_it_is_put_is_the_answer() -> None:
    async def fails(reply_to: ReplyTo) -> Message:
        raise NotFound("no such job")

    with pytest.raises(NotFound):
        await ask(fails, Cancelled)


async def never() -> AsgiMessage:
    await asyncio.Event().wait()
    return {}


async def gone() -> AsgiMessage:
    return {"type": "http.disconnect"}


async def test_work_that_ends_in_time_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert await while_wanted(never, asyncio.Event(), work(), PATIENCE) == 7


@pytest.mark.parametrize("why", ["late", "gone", "closing"])
async def test_work_that_nobody_waits_for_any_more_has_ended_when_it_is_given_up(why: str) -> None:
    ended: list[str] = []

    async def work() -> str:
        try:
            await asyncio.Event().wait()
            return why
        finally:
            await asyncio.sleep(0)
            ended.append(why)

    closing = asyncio.Event()
    if why == "closing":
        closing.set()
    found = await while_wanted(gone if why == "gone" else never, closing, work(), 0.01 if why == "late" else PATIENCE)
    assert found is None
    assert ended == [why]


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise NotFound("it is gone")

    with pytest.raises(NotFound):
        await while_wanted(never, asyncio.Event(), work(), PATIENCE)
