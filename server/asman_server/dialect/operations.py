"""Lists the dialect's addresses in a table like that of the others (`asman_server.rest.operations`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.routing import Route

from ..rest import base as native
from ..rest import metrics
from ..rest.operations import JSON, LABEL, PROMETHEUS, WHOLE, Answer, Operation, Parameter
from . import incoming, rest, rest_logs, rest_queue

_TAG: Final = "dialect"
_HTML: Final = "text/html"
_FILE: Final = {200: Answer("its bytes", media=("*/*",)), 302: Answer("where its bytes are")}
_SINCE: Final = (Parameter("since", "the cursor of the first line wanted", WHOLE),)


def _json(says: str, *more: str) -> dict[int, Answer]:
    return {200: Answer(says, media=(JSON, *more))}


def _of_job(prefix: str, name: str) -> Iterator[Operation]:
    """The addresses of one job below a prefix."""
    for path, endpoint, what, answers, parameters in (
        ("", rest.job, "job", _json("its definition and results", _HTML), ()),
        ("/definition.json", rest.definition, "definition", _json("its definition"), ()),
        ("/result.json", rest.result, "result", _json("the job with its result"), ()),
        ("/results.json", rest.result, "results", _json("the same"), ()),
        ("/namespaces.json", rest.namespaces, "namespaces", _json("namespaces"), ()),
        ("/inputs/{path:path}", rest.input_file, "input", _FILE, ()),
        ("/outputs/{path:path}", rest.output_file, "output", _FILE, ()),
        ("/build-logs.json", rest_logs.build_logs, "build_logs", _json("lines"), _SINCE),
        ("/run-logs.json", rest_logs.run_logs, "run_logs", _json("lines"), _SINCE),
        (
            "/stream",
            rest_logs.stream,
            "stream",
            {200: Answer("server-sent events", media=("text/event-stream",))},
            (),
        ),
    ):
        yield Operation("GET", prefix + path, endpoint, f"{name}_{what}", _TAG, answers, parameters)
    yield Operation(
        "POST", prefix + "/copy", rest.copy, f"{name}_copy", _TAG, _json("it is submitted"), body=incoming.Copy
    )


def _of_queue() -> Iterator[Operation]:
    for path, name in (("/q/{queue}", "dialect_queue"), ("/q/{queue}/j", "dialect_jobs")):
        yield Operation("GET", path, rest_queue.queue, name, _TAG, _json("its jobs", _HTML))
        yield Operation(
            "POST",
            path,
            rest_queue.enqueue,
            f"{name}_submit",
            _TAG,
            _json("it is submitted"),
            body=incoming.EnqueueJob,
        )
    cancelled = _json("cancelled, or already finished")
    yield Operation(
        "POST",
        "/q/{queue}/j/{id}/cancel",
        rest.cancel,
        "dialect_cancel",
        _TAG,
        cancelled,
        (Parameter("namespace", "the slot to release; `*` for all", LABEL),),
    )
    yield Operation(
        "POST", "/q/{queue}/j/{id}/{namespace}/cancel", rest.cancel, "dialect_cancel_namespace", _TAG, cancelled
    )
    yield Operation("GET", "/q/{queue}/status", rest_queue.status, "status", _TAG, _json("the status"))
    yield Operation(
        "GET",
        "/{queue}/metrics",
        metrics.queue_metrics,
        "dialect_metrics",
        "metrics",
        {200: Answer("as /q/{queue}/metrics", media=(PROMETHEUS,))},
    )


OPERATIONS: Final = (
    *_of_job("/j/{id}", "dialect"),
    *_of_job("/q/{queue}/j/{id}", "dialect_queue"),
    *_of_queue(),
)


def routes() -> list[Route]:
    """The routes of the table."""
    return [
        Route(each.path, native.answers(each.endpoint), methods=[each.method], name=each.name) for each in OPERATIONS
    ]
