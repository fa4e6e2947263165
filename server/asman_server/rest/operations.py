"""Lists every HTTP address of the hub in one table; the routes and the OpenAPI document are made from it."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asman_shared import limits, ranges
from asman_shared.errors import AsmanError, Conflict, NotFound, QuotaExceeded, Unauthentic
from asman_shared.messages import STREAMS
from asman_shared.states import Phase, State

from . import base, blobs, events, jobs, logs, metrics, page, queues, schemas, site, webhooks
from . import types as t
from .guard import guarded
from .requests import check_query

Method = Literal["GET", "PUT", "POST", "DELETE"]
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"
RANGES: Final = "multipart/byteranges"
PROMETHEUS: Final = "text/plain; version=1.0.0; charset=utf-8"


class Answer(Struct, frozen=True):
    """One kind of answer: its meaning, the type of its JSON body, its other media types, and its headers by name."""

    says: str
    body: type | None = None
    media: tuple[str, ...] = ()
    headers: dict[str, str] = {}


class Parameter(Struct, frozen=True):
    """A parameter in the query or a header; ``schema`` is its JSON Schema, text if omitted."""

    name: str
    says: str
    schema: dict[str, Any] | None = None
    place: Literal["query", "header"] = "query"
    many: bool = False


class Operation(Struct, frozen=True):
    """One method of one address; its endpoint's docstring is its description."""

    method: Method
    path: str
    endpoint: base.Endpoint
    name: str
    tag: str
    answers: dict[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: type | None = None
    body_media: str = JSON
    to_pages: bool = True
    """Whether pages of other origins may read the answers."""
    errors: tuple[type[AsmanError], ...] = ()
    """Errors that it answers, besides those that all operations of its kind do (`documented_answers`)."""
    shapes: dict[str, dict[str, Any]] = {}
    """Schemas of parts of its path, where they are not those of other paths."""


WHOLE: Final = {"type": "integer", "minimum": 0, "maximum": limits.WHOLE}
FLAG: Final = {"type": "integer", "minimum": 0, "maximum": 1}
PATTERN: Final = limits.LOG_PATTERN_LENGTH
CONTEXT: Final = {"type": "integer", "minimum": 0, "maximum": limits.LOG_CONTEXT_LINES}
LABEL: Final = {"type": "string", "minLength": 1, "maxLength": limits.LABEL_LENGTH}
HEADER: Final = {"type": "string", "maxLength": limits.HEADER_LENGTH}
SIGNATURE: Final = {"type": "string", "maxLength": 43, "pattern": "^[A-Za-z0-9_-]{43}$"}
DURATION: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.UNIT_LENGTH,
    "pattern": ranges.DURATION_PATTERN,
    "examples": ["30s"],
}
EVENT: Final = {"type": "string", "maxLength": limits.UNIT_LENGTH, "pattern": f"^({events.EVENT_ID})?$"}
JOB: Final = "/q/{queue}/jobs/{id}"
_PAGE: Final = {200: Answer("a web page", media=("text/html",))}
_PLACE: Final = {"Location": "the address"}
_ELSEWHERE: Final = Answer("where its bytes are", headers=_PLACE)
_NO_RANGE: Final = Answer(
    "the file has no byte of the range asked for", t.Problems, headers={"Content-Range": "its size"}
)
FILE: Final = {
    200: Answer("its bytes", media=("*/*",)),
    206: Answer("the range asked for", media=("*/*",)),
    302: _ELSEWHERE,
    416: _NO_RANGE,
}
"""Answers with a file of somebody else, whose media type may be any."""
RANGE: Final = Parameter(
    "Range", "return only these bytes", {"type": "string", "maxLength": limits.HEADER_LENGTH}, "header"
)
_CACHED: Final = {"ETag": "its sha256, quoted", "Cache-Control": "it never changes"}
_TAGGED: Final = {"ETag": "its sha256, quoted", "Cache-Control": "how long it may be kept"}
_SIGNED: Final = (Parameter("expires", "as signed", WHOLE), Parameter("signature", "as signed", SIGNATURE))


def _site(says: str, media: str) -> dict[int, Answer]:
    """Answers with a file of the documentation."""
    return {200: Answer(says, media=(media,), headers=_TAGGED), 304: Answer("it has not changed", headers=_TAGGED)}


OPERATIONS: Final = (
    Operation(
        "POST",
        "/q/{queue}/jobs",
        queues.submit,
        "submit",
        "queue",
        {
            200: Answer("an existing run was joined, or there is a result", t.SubmitAnswer, headers=_PLACE),
            201: Answer("a new run was queued", t.SubmitAnswer, headers=_PLACE),
            202: Answer("with `wait`: it is not finished yet", t.SubmitAnswer, headers=_PLACE),
        },
        (Parameter("wait", "maximum time to wait for its end", DURATION),),
        t.SubmitBody,
        errors=(QuotaExceeded,),
    ),
    Operation(
        "GET",
        "/q/{queue}/jobs",
        queues.list_jobs,
        "list_jobs",
        "queue",
        {200: Answer("a page of jobs", t.JobsAnswer)},
        (
            Parameter("state", "only these", {"type": "string", "enum": [s.value for s in State]}, many=True),
            Parameter("before", "the `next` of the previous page", WHOLE),
            Parameter(
                "limit", "maximum number of jobs", {"type": "integer", "minimum": 1, "maximum": limits.LIST_PAGE}
            ),
        ),
    ),
    Operation(
        "POST",
        "/q/{queue}/validate",
        queues.validate_definition,
        "validate",
        "queue",
        {200: Answer("the result of the check", t.ValidateAnswer)},
        body=t.ValidateBody,
    ),
    Operation(
        "GET",
        "/q/{queue}/workers",
        queues.workers,
        "workers",
        "queue",
        {200: Answer("the workers", t.WorkersAnswer)},
    ),
    Operation(
        "GET",
        "/q/{queue}/settings",
        queues.settings,
        "settings",
        "queue",
        {200: Answer("its settings", t.SettingsAnswer)},
    ),
    Operation(
        "PUT",
        "/q/{queue}/settings",
        queues.configure,
        "configure",
        "queue",
        {200: Answer("its settings as they are now", t.SettingsAnswer)},
        body=t.SettingsBody,
    ),
    Operation(
        "DELETE",
        "/q/{queue}",
        queues.delete_queue,
        "delete_queue",
        "queue",
        {200: Answer("what is gone", t.DeleteQueueAnswer)},
    ),
    Operation(
        "POST",
        "/q/{queue}/purge",
        queues.purge_jobs,
        "purge",
        "queue",
        {200: Answer("how many jobs were removed", t.PurgeAnswer)},
        body=t.PurgeBody,
    ),
    Operation(
        "POST",
        "/q/{queue}/workers/{worker}/drain",
        queues.drain_worker,
        "drain_worker",
        "queue",
        {200: Answer("the workers that are drained, or no longer", t.WorkersAnswer)},
        (Parameter("undo", "1 to let them take jobs again", FLAG),),
    ),
    Operation(
        "GET",
        "/q/{queue}/metrics",
        metrics.queue_metrics,
        "queue_metrics",
        "metrics",
        {200: Answer("in Prometheus' text format", media=(PROMETHEUS,))},
    ),
    Operation(
        "GET",
        "/q/{queue}/webhook-key",
        webhooks.key,
        "webhook_key",
        "queue",
        {200: Answer("the key", t.WebhookKeyAnswer)},
    ),
    Operation("GET", JOB, jobs.get, "get_job", "job", {200: Answer("the job", t.JobAnswer)}),
    Operation("DELETE", JOB, jobs.delete, "delete_job", "job", {200: Answer("it is gone", t.DeleteAnswer)}),
    Operation(
        "GET",
        JOB + "/wait",
        jobs.wait,
        "wait",
        "job",
        {200: Answer("it is finished", t.WaitAnswer), 202: Answer("it is not finished yet", t.WaitAnswer)},
        (Parameter("timeout", "maximum time to wait [30s]", DURATION),),
    ),
    Operation(
        "GET",
        JOB + "/log",
        logs.log,
        "log",
        "job",
        {200: Answer("lines", t.LogAnswer, (TEXT,))},
        (
            Parameter("since", "the `seq` of the first line to return [the run's first]", WHOLE),
            Parameter("until", "only lines before this `seq`", WHOLE),
            Parameter(
                "limit",
                f"maximum number of lines in the answer; {limits.LOG_PAGE_LINES} as JSON, more as text",
                {"type": "integer", "minimum": 1, "maximum": limits.WHOLE},
            ),
            Parameter("stream", "only these", {"type": "string", "enum": list(STREAMS)}, many=True),
            Parameter("phase", "only these", {"type": "string", "enum": [p.value for p in Phase]}, many=True),
            Parameter("head", "only this many of the first lines", WHOLE),
            Parameter("tail", "only this many of the last lines; with `head`, both parts", WHOLE),
            Parameter(
                "grep",
                "only lines that match this regular expression (RE2 syntax)",
                {"type": "string", "maxLength": PATTERN},
            ),
            Parameter("ignore_case", "ignore case in `grep`", FLAG),
            Parameter("context", "number of lines to return before and after each match", CONTEXT),
            Parameter("around", "only the lines around this", {"type": "string", "enum": ["first_error"]}),
            Parameter("max_bytes", "only this many bytes of text; with `tail`, the last of them", WHOLE),
            *(Parameter(name, "as in `more` of the previous page", WHOLE) for name in ("before", "standing")),
            Parameter("owed", "as in `more` of the previous page", CONTEXT),
            Parameter("run", "the number of an earlier run, whose log is read [the present one]", WHOLE),
        ),
    ),
    Operation(
        "GET",
        JOB + "/runs",
        jobs.runs,
        "runs",
        "job",
        {200: Answer("the runs that are remembered", t.RunsAnswer)},
    ),
    Operation(
        "GET",
        JOB + "/summary",
        logs.summary,
        "summary",
        "job",
        {200: Answer("the summary", t.SummaryAnswer)},
    ),
    Operation(
        "GET",
        JOB + "/events",
        events.events,
        "events",
        "job",
        {
            200: Answer("server-sent events", media=("text/event-stream",)),
            204: Answer("nothing follows `Last-Event-ID`"),
        },
        (
            Parameter("Last-Event-ID", "continue after this event", EVENT, place="header"),
            Parameter("last_event_id", "the same, for clients that can't set headers", EVENT),
        ),
    ),
    Operation("GET", JOB + "/outputs/{path:path}", jobs.output, "output", "job", FILE, (RANGE,)),
    Operation(
        "POST",
        JOB + "/cancel",
        jobs.cancel,
        "cancel",
        "job",
        {200: Answer("the job as it is now", t.CancelAnswer)},
        (Parameter("namespace", "the slot to release; `*` for all", LABEL),),
    ),
    Operation(
        "POST",
        JOB + "/keep",
        jobs.keep,
        "keep",
        "job",
        {200: Answer("the job as it is now", t.KeepAnswer)},
        (Parameter("undo", "1 to keep it no longer", FLAG),),
    ),
    Operation(
        "GET",
        JOB + "/explain",
        jobs.explain,
        "explain",
        "job",
        {200: Answer("why the job is in its present state", t.ExplainAnswer)},
    ),
    Operation(
        "GET",
        "/b/{sha256}",
        blobs.get_blob,
        "get_blob",
        "blob",
        {
            200: Answer("its bytes", media=(BYTES,), headers={"ETag": "its sha256, quoted"}),
            206: Answer("the range asked for", media=(BYTES, RANGES), headers={"ETag": "its sha256, quoted"}),
            416: _NO_RANGE,
        },
        (*_SIGNED, RANGE),
    ),
    Operation(
        "PUT",
        "/b/{sha256}",
        blobs.put_blob,
        "put_blob",
        "blob",
        {201: Answer("it is stored", t.BlobAnswer)},
        (*_SIGNED, Parameter("for", "as signed: the upload that it belongs to", HEADER)),
        bytes,
        BYTES,
        errors=(Conflict, Unauthentic, QuotaExceeded),
    ),
    Operation(
        "GET",
        "/f/{name}",
        blobs.get_file,
        "get_file",
        "file",
        {
            **FILE,
            200: Answer("its bytes", media=("*/*",), headers=_CACHED),
            304: Answer("not modified: `If-None-Match` names it", headers=_CACHED),
        },
        (RANGE, Parameter("If-None-Match", "the `ETag` of what the client has", HEADER, "header")),
    ),
    Operation(
        "PUT",
        "/f/{name}",
        blobs.put_file,
        "put_file",
        "file",
        {
            200: Answer("it was already stored", t.FileAnswer),
            201: Answer("it is stored", t.FileAnswer),
            307: Answer("where to send it", headers=_PLACE),
        },
        (),
        bytes,
        BYTES,
        errors=(Conflict, Unauthentic, QuotaExceeded),
    ),
    Operation(
        "GET",
        "/f/{name}/exists",
        blobs.file_exists,
        "file_exists",
        "file",
        {200: Answer("it is stored", t.FileExistsAnswer), 404: Answer("it is not", t.FileExistsAnswer)},
    ),
    Operation(
        "GET",
        "/metrics",
        metrics.hub_metrics,
        "hub_metrics",
        "metrics",
        {200: Answer("in Prometheus' text format", media=(PROMETHEUS,))},
        (
            Parameter(
                "Authorization", "`Bearer` and the token of the hub's settings, if it has one", HEADER, place="header"
            ),
        ),
        to_pages=False,
    ),
    Operation(
        "GET",
        "/schemas/definition.json",
        schemas.definition,
        "definition_schema",
        "hub",
        {200: Answer("the schema", media=(schemas.SCHEMA_JSON,))},
    ),
    Operation(
        "GET",
        "/healthz",
        base.health,
        "health",
        "hub",
        {
            200: Answer("the hub and all of its own tasks run", media=(TEXT,)),
            500: Answer("a task of the hub has ended; it must be started again", media=(TEXT,)),
        },
    ),
    Operation(
        "GET",
        "/readyz",
        base.ready,
        "ready",
        "hub",
        {
            200: Answer("the hub can take work", media=(TEXT,)),
            503: Answer("it can't now, and says why", media=(TEXT,)),
        },
    ),
    Operation("GET", "/", page.show, "front_page", "page", _PAGE),
    Operation(
        "GET",
        "/metaframe.json",
        page.metaframe,
        "metaframe",
        "page",
        {200: Answer("the metaframe definition, version 2", media=(JSON,))},
    ),
    Operation(
        "GET",
        "/j/{id}/metaframe.json",
        page.metaframe,
        "job_metaframe",
        "page",
        {200: Answer("the metaframe definition, version 2, the same for every id", media=(JSON,))},
        shapes={"id": {"type": "string"}},
    ),
    Operation(
        "GET", "/assets/{path:path}", page.asset, "asset", "page", {200: Answer("a part of the page", media=("*/*",))}
    ),
    Operation(
        "GET",
        "/llms.txt",
        site.llms,
        "llms",
        "page",
        _site("the pages of the documentation", TEXT),
        errors=(NotFound,),
    ),
    Operation("GET", "/docs", site.front, "docs", "page", _site("its first page", "text/html"), errors=(NotFound,)),
    Operation("GET", "/docs/{path:path}", site.page, "docs_page", "page", _site("a page or a picture of it", "*/*")),
)

_LAST: Final = ("docs_page",)
"""Names of the addresses that are tried last: ``/docs/status`` is an older address of the queue ``docs``."""


def routes() -> list[Route]:
    """Returns the routes of the table, but those of `last_routes`."""
    return [_route(each) for each in OPERATIONS if each.name not in _LAST]


def last_routes() -> list[Route]:
    """Returns the routes of the table that are tried after those of other tables."""
    return [_route(each) for each in OPERATIONS if each.name in _LAST]


_ANY_QUERY: Final = ("output",)
"""Names of the addresses below a queue that take any query: those of files, to which pages add one against caches."""


def _checked(each: Operation) -> base.Endpoint:
    """Returns an operation's endpoint, which refuses parameters that it does not have if it is one of a queue's."""
    if not each.path.startswith("/q/") or each.name in _ANY_QUERY:
        return each.endpoint
    known = {parameter.name: parameter.many for parameter in each.parameters if parameter.place == "query"}

    async def checking(request: Request) -> Response:
        check_query(request, known)
        return await each.endpoint(request)

    checking.__doc__ = each.endpoint.__doc__
    return checking


def _route(each: Operation) -> Route:
    answers = base.answers(guarded(each.name, _checked(each)), to_pages=each.to_pages)
    return Route(each.path, answers, methods=[each.method], name=each.name)
