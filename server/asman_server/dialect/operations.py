"""Lists the dialect's addresses in a table like that of the others (`asman_server.rest.operations`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.routing import Route

from asman_shared.address import OLDER_NAME, QUEUE_KEY
from asman_shared.errors import QuotaExceeded

from ..rest import base as native
from ..rest import metrics
from ..rest.guard import guarded
from ..rest.operations import FILE, JSON, LABEL, PROMETHEUS, RANGE, WHOLE, Answer, Operation, Parameter
from . import incoming, rest, rest_logs, rest_queue

_TAG: Final = "dialect"
_HTML: Final = "text/html"
_EITHER_ID: Final = {"id": {"type": "string", "pattern": "^[0-9a-f]{64}(~[^/]*|[.]json)?$"}}
"""A job's id, which the key of the job's URL or a suffix may follow."""
_OTHERS: Final = {
    "queue": {"type": "string", "pattern": f"^({QUEUE_KEY}|(?!(assets|b|download|f|j|q|upload)$){OLDER_NAME})$"}
}
"""A queue whose name is not the beginning of other addresses."""
_LABEL_OR_NONE: Final = {**LABEL, "minLength": 0}
_RANGE: Final = (RANGE,)
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
        ("/inputs/{path:path}", rest.input_file, "input", FILE, _RANGE),
        ("/outputs/{path:path}", rest.output_file, "output", FILE, _RANGE),
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
        yield Operation("GET", prefix + path, endpoint, f"{name}_{what}", _TAG, answers, parameters, shapes=_EITHER_ID)
    yield Operation(
        "POST",
        prefix + "/copy",
        rest.copy,
        f"{name}_copy",
        _TAG,
        _json("it is submitted"),
        body=incoming.Copy,
        errors=(QuotaExceeded,),
        shapes=_EITHER_ID,
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
            errors=(QuotaExceeded,),
        )
    cancelled = _json("cancelled, or already finished")
    yield Operation(
        "POST",
        "/q/{queue}/j/{id}/cancel",
        rest.cancel,
        "dialect_cancel",
        _TAG,
        cancelled,
        (Parameter("namespace", "the slot to release; `*` for all; empty for the usual one", _LABEL_OR_NONE),),
        shapes=_EITHER_ID,
    )
    yield Operation(
        "POST",
        "/q/{queue}/j/{id}/{namespace}/cancel",
        rest.cancel,
        "dialect_cancel_namespace",
        _TAG,
        cancelled,
        shapes=_EITHER_ID,
    )
    yield Operation("GET", "/q/{queue}/status", rest_queue.status, "status", _TAG, _json("the status"))
    yield Operation(
        "GET",
        "/{queue}/status",
        rest_queue.status,
        "dialect_status",
        _TAG,
        _json("as /q/{queue}/status"),
        shapes=_OTHERS,
    )
    yield Operation(
        "GET",
        "/{queue}/metrics",
        metrics.queue_metrics,
        "dialect_metrics",
        "metrics",
        {200: Answer("as /q/{queue}/metrics", media=(PROMETHEUS,))},
        shapes=_OTHERS,
    )


OPERATIONS: Final = (
    Operation("GET", "/upload/{name}", rest.upload, "dialect_upload", _TAG, _json("where to PUT a file")),
    Operation("GET", "/download/{name}", rest.download, "dialect_download", _TAG, _json("where a file is")),
    *_of_job("/j/{id}", "dialect"),
    *_of_job("/q/{queue}/j/{id}", "dialect_queue"),
    *_of_queue(),
)
"""In the order in which they are tried: ``/upload/metrics`` is the address of a file."""


def routes() -> list[Route]:
    """The routes of the table."""
    return [
        Route(each.path, native.answers(guarded(each.name, each.endpoint)), methods=[each.method], name=each.name)
        for each in OPERATIONS
    ]
