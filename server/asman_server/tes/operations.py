"""Lists the door's addresses in a table like that of the others (`asman_server.rest.operations`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.routing import Route

from asman_shared import limits

from ..rest import base as native
from ..rest.guard import guarded
from ..rest.operations import Answer, Operation, Parameter
from . import endpoint, service
from .states import ASKED
from .task import NAME_LENGTH, SERVER_OWNED, Task, documented
from .types import CreatedTask, Nothing, OlderInfo, ServiceInfo, TaskPage, TesProblem

_TAG: Final = "tes"
PREFIXES: Final = {"": "/q/{queue}/ga4gh/tes/v1", "older_": "/q/{queue}/v1"}
"""The two addresses of the door, by a prefix for the names of operations: clients know one or the other."""
_LATER: Final = {"Retry-After": "seconds after which to try again"}
_REFUSED: Final = {
    400: Answer("a value is wrong, or not supported here", TesProblem),
    403: Answer("the key does not grant this", TesProblem),
    404: Answer("there is no such task", TesProblem),
    429: Answer("the hub can't do it now", TesProblem, headers=_LATER),
}
_BODY_REFUSED: Final = {
    408: Answer("the body arrives too slowly", TesProblem, headers=_LATER),
    413: Answer("the task is too large", TesProblem),
    507: Answer("the hub has no room for more", TesProblem),
}
_VIEW: Final = Parameter("view", "how much of a task", {"type": "string", "enum": ["MINIMAL", "BASIC", "FULL"]})
_NAME: Final = {"type": "string", "maxLength": NAME_LENGTH}
_FILTERS: Final = (
    Parameter("name_prefix", "only tasks whose names begin so", _NAME),
    Parameter("state", "only tasks in this state; QUEUED means INITIALIZING", {"type": "string", "enum": list(ASKED)}),
    Parameter("tag_key", "only tasks with these tags", _NAME, many=True),
    Parameter("tag_value", "the values of these tags, in their order; empty for any", _NAME, many=True),
    Parameter(
        "page_size",
        "largest number of tasks in a page",
        {"type": "integer", "minimum": 0, "maximum": endpoint.PAGE_MOST},
    ),
    Parameter(
        "page_token",
        "the token of the page before",
        {"type": "string", "pattern": "^([0-9]{1,16})?$", "maxLength": 16},
    ),
)
_SENT: Final = documented(Task, *SERVER_OWNED)
_ID: Final[dict[str, dict[str, Any]]] = {"id": {"type": "string", "minLength": 1, "maxLength": limits.LABEL_LENGTH}}


def _operations(name: str, at: str) -> Iterator[Operation]:
    """Yields the operations at one of the addresses; what is more special comes first."""
    info = {200: Answer("about the service", ServiceInfo), **_REFUSED}
    older = {200: Answer("about the service, in the form of TES 1.0", OlderInfo), **_REFUSED}
    yield Operation("GET", f"{at}/service-info", service.info, f"{name}tes_info", _TAG, info)
    yield Operation("GET", f"{at}/tasks/service-info", service.older_info, f"{name}tes_older_info", _TAG, older)
    yield Operation(
        "POST",
        f"{at}/tasks",
        endpoint.create,
        f"{name}create_task",
        _TAG,
        {200: Answer("its id", CreatedTask), **_REFUSED, **_BODY_REFUSED},
        body=_SENT,
    )
    page = {200: Answer("a page of tasks", TaskPage), **_REFUSED}
    yield Operation("GET", f"{at}/tasks", endpoint.listed, f"{name}list_tasks", _TAG, page, (_VIEW, *_FILTERS))
    task = {200: Answer("the task", dict[str, Any]), **_REFUSED}
    yield Operation("GET", f"{at}/tasks/{{id}}", endpoint.get, f"{name}get_task", _TAG, task, (_VIEW,), shapes=_ID)
    done = {200: Answer("it is cancelled, or had ended", Nothing), **_REFUSED}
    yield Operation("POST", f"{at}/tasks/{{id}}:cancel", endpoint.cancel, f"{name}cancel_task", _TAG, done, shapes=_ID)


OPERATIONS: Final = tuple(each for name, at in PREFIXES.items() for each in _operations(name, at))


def routes() -> list[Route]:
    """Returns the routes of the table."""
    return [_route(each) for each in OPERATIONS]


def _route(operation: Operation) -> Route:
    endpoint_of = guarded(operation.name, operation.endpoint)
    answered = native.answers(endpoint.answers(endpoint_of))
    return Route(operation.path, answered, methods=[operation.method], name=operation.name)
