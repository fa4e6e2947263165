"""What a submission may ask for, what is written for a call, and how it is signed."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import msgspec
import pytest

from asman_server.core import Job
from asman_server.core.callbacks import Call
from asman_server.core.effects import CallWebhook
from asman_server.storage.commit import WebhookRow
from asman_server.webhooks.calls import calls_of, host_of, row_of
from asman_shared.errors import BadRequest, TooLarge
from asman_shared.messages import Callback, Callbacks, Submit, Summary
from asman_shared.states import Reason

JOB = Job(id="a" * 64, number=1, summary=Summary())


def test_a_submit_without_callbacks_asks_for_nothing() -> None:
    assert calls_of(None) is None


def test_payloads_are_kept_as_json() -> None:
    calls = calls_of(
        Callbacks(
            queued=Callback("https://x.example/a?b=1", {"ü": [1, None, 2.5]}), finished=Callback("http://x.example:81")
        )
    )
    assert calls is not None
    assert calls.queued == Call("https://x.example/a?b=1", '{"ü":[1,null,2.5]}'.encode())
    assert calls.finished == Call("http://x.example:81", b"")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "ftp://x.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://x.example:99999/",
        "https://[::1/",
        "https://x.example/a b",
        "https://x.example/\x00",
        "https://x.example\\@y.example/",
        "https://ex\u00e4mple.org/",
        f"https://{'x' * 254}/",
        f"https://x.example/{'x' * 2048}",
        "http://localhost:3000/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
    ],
)
@pytest.mark.parametrize("event", ["queued", "finished"])
def test_a_bad_url_is_refused_and_named(url: str, event: str) -> None:
    with pytest.raises(BadRequest) as caught:
        calls_of(Callbacks(**{event: Callback(url)}))
    assert caught.value.field == f"callbacks.{event}.url"


def test_private_addresses_are_taken_where_the_operator_allows_them() -> None:
    for url in ("http://localhost:3000/", "http://127.0.0.1/", "http://[fd00::1]:8080/"):
        assert calls_of(Callbacks(finished=Callback(url)), allow_private=True) is not None


@pytest.mark.parametrize("payload", [b"bytes", float("nan"), {"a": {1, 2}}, "\ud800"])
def test_a_payload_that_is_not_json_is_refused(payload: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        calls_of(Callbacks(queued=Callback("https://x.example/", payload)))
    assert caught.value.field == "callbacks.queued.payload"


def test_a_payload_has_a_bound() -> None:
    assert calls_of(Callbacks(queued=Callback("https://x.example/", "x" * (16 * 1024 - 2))))
    with pytest.raises(TooLarge) as caught:
        calls_of(Callbacks(queued=Callback("https://x.example/", "x" * (16 * 1024 - 1))))
    assert caught.value.field == "callbacks.queued.payload"


def test_a_misspelt_callback_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="finish"):
        msgspec.convert(
            {"ref": 1, "definition": {}, "callbacks": {"finish": {"url": "https://x.example"}}}, Submit, strict=True
        )


EVENTS: Final[tuple[Literal["queued", "finished"], ...]] = ("queued", "finished")


def row(
    event: Literal["queued", "finished"], call: Call, namespace: str = "_", reason: Reason | None = None
) -> WebhookRow:
    return row_of("the-queue", "q-short", CallWebhook(event, JOB, namespace, call, reason), 5000)


def test_the_body_of_queued() -> None:
    made = row("queued", Call("https://x.example/", b'{"n":[1]}'), "ns")
    assert json.loads(made.body) == {"jobId": JOB.id, "queue": "q-short", "namespace": "ns", "config": {"n": [1]}}
    assert (made.created, made.due, made.tries, made.event) == (5000, 5000, 0, "queued")
    assert made.id != row("queued", Call("https://x.example/"), "ns").id


def test_the_body_of_finished() -> None:
    made = row("finished", Call("https://x.example/"), reason=Reason.OUT_OF_MEMORY)
    assert json.loads(made.body) == {
        "jobId": JOB.id,
        "queue": "q-short",
        "namespace": "_",
        "config": {},
        "state": "Finished",
        "reason": "OutOfMemory",
    }


def test_the_whole_name_of_a_queue_is_in_no_body_unless_the_submitter_wants_it() -> None:
    for event in EVENTS:
        assert b"the-queue" not in row(event, Call("https://x.example/")).body
        wanted = row(event, Call("https://x.example/", whole_queue=True))
        assert json.loads(wanted.body)["queue"] == "the-queue"


@pytest.mark.parametrize("which", ["queued", "finished"])
def test_the_whole_name_of_a_queue_is_sent_over_https_only(which: str) -> None:
    asked = Callbacks(**{which: Callback("http://x.example/", whole_queue=True)})
    with pytest.raises(BadRequest, match="over https only") as caught:
        calls_of(asked)
    assert caught.value.field == f"callbacks.{which}.whole_queue"
    made = calls_of(Callbacks(**{which: Callback("https://x.example/", whole_queue=True)}))
    assert made is not None
    assert getattr(made, which).whole_queue


def test_hosts_are_counted_with_their_port() -> None:
    assert host_of("https://User:pw@X.example/a") == "x.example:443"
    assert host_of("http://x.example/") == "x.example:80"
    assert host_of("http://[2001:4860::1]:8080/") == "2001:4860::1:8080"
