"""The rights that every request and message needs: the one table for all doors.

Each door looks up here what it was asked for, by the name of an HTTP operation or the type of a message, and refuses
what the key in the address does not grant. An operation or message without a row is a defect: the hub does not start,
and `tests/unit/server/access/test_table.py` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from asman_shared.errors import Forbidden

from .rights import Access, Right, missing

Needs = frozenset[Right]
"""All of these rights."""

ANY: Final[Needs] = frozenset()
"""Any key to the queue will do."""
READ: Final[Needs] = frozenset({Right.READ})
SUBMIT: Final[Needs] = frozenset({Right.SUBMIT})
WORK: Final[Needs] = frozenset({Right.WORK})
OWN: Final[Needs] = frozenset({Right.OWN})
WHOLE: Final[Needs] = frozenset({Right.READ, Right.SUBMIT})
"""The rights to see whole definitions."""
OPEN: Final = None
"""No queue is named: everybody may ask, or what was asked for is signed or named by an id that nobody guesses."""

REQUESTS: Final[dict[str, Needs | None]] = {
    # a queue
    "submit": SUBMIT,
    "list_jobs": READ,
    "validate": SUBMIT,
    "workers": READ,
    "settings": READ,
    "configure": OWN,
    "purge": OWN,
    "delete_queue": OWN,
    "drain_worker": OWN,
    "queue_metrics": READ,
    "webhook_key": SUBMIT,
    # a job
    "get_job": READ,
    "delete_job": SUBMIT,
    "wait": READ,
    "log": READ,
    "summary": READ,
    "runs": READ,
    "events": READ,
    "output": READ,
    "cancel": SUBMIT,
    "explain": READ,
    "keep": OWN,
    # the dialect
    "dialect_queue": READ,
    "dialect_queue_submit": SUBMIT,
    "dialect_jobs": READ,
    "dialect_jobs_submit": SUBMIT,
    "dialect_queue_job": READ,
    "dialect_queue_definition": READ,
    "dialect_queue_result": READ,
    "dialect_queue_results": READ,
    "dialect_queue_namespaces": READ,
    "dialect_queue_input": WHOLE,
    "dialect_queue_output": READ,
    "dialect_queue_build_logs": READ,
    "dialect_queue_run_logs": READ,
    "dialect_queue_stream": READ,
    "dialect_queue_copy": WHOLE,
    "dialect_cancel": SUBMIT,
    "dialect_cancel_namespace": SUBMIT,
    "status": READ,
    "dialect_status": READ,
    "dialect_metrics": READ,
    # MCP: MCP_METHODS and MCP_TOOLS have what its messages need
    "mcp": ANY,
    "mcp_anywhere": OPEN,
    # TES, at both of its addresses
    "tes_info": ANY,
    "tes_older_info": ANY,
    "create_task": SUBMIT,
    "list_tasks": READ,
    "get_task": READ,
    "cancel_task": SUBMIT,
    "older_tes_info": ANY,
    "older_tes_older_info": ANY,
    "older_create_task": SUBMIT,
    "older_list_tasks": READ,
    "older_get_task": READ,
    "older_cancel_task": SUBMIT,
    # by an id, and the key after it: `asman_server.job_links`
    "dialect_job": OPEN,
    "dialect_definition": OPEN,
    "dialect_result": OPEN,
    "dialect_results": OPEN,
    "dialect_namespaces": OPEN,
    "dialect_input": OPEN,
    "dialect_output": OPEN,
    "dialect_build_logs": OPEN,
    "dialect_run_logs": OPEN,
    "dialect_stream": OPEN,
    "dialect_copy": OPEN,
    # by a signature, or a file's name
    "get_blob": OPEN,
    "put_blob": OPEN,
    "get_file": OPEN,
    "put_file": OPEN,
    "file_exists": OPEN,
    "dialect_upload": OPEN,
    "dialect_download": OPEN,
    # the hub itself
    "hub_metrics": OPEN,
    "definition_schema": OPEN,
    "health": OPEN,
    "ready": OPEN,
    "front_page": OPEN,
    "metaframe": OPEN,
    "job_metaframe": OPEN,
    "asset": OPEN,
    "llms": OPEN,
    "docs": OPEN,
    "docs_page": OPEN,
    "openapi": OPEN,
    "mcp_health": OPEN,
    "mcp_info": OPEN,
    "skill": OPEN,
}
"""HTTP operations, by name; `asman_server.rest.operations` and its like have their addresses."""

PAGES: Final = frozenset({"dialect_queue", "dialect_jobs", "dialect_queue_job"})
"""Operations that show browsers the page, which is the same for everybody and asks the hub by a websocket."""

SUBMITTING: Final = frozenset(
    {"submit", "dialect_queue_submit", "dialect_jobs_submit", "create_task", "older_create_task"}
)
"""Operations that submit a job to the queue in their address."""

BY_ITSELF: Final = frozenset({"mcp"})
"""Operations that find out the rights of the key by themselves, because their errors have a form of their own."""

SOCKETS: Final[dict[str, tuple[Right, ...]]] = {
    "client": (Right.READ, Right.SUBMIT),
    "worker": (Right.WORK,),
    "dialect client": (Right.READ,),
    "dialect worker": (Right.WORK,),
}
"""Websockets: one of these rights opens one."""

CLIENT_MESSAGES: Final[dict[str, Needs]] = {
    "hello": ANY,
    "submit": SUBMIT,
    "cancel": SUBMIT,
    "delete": SUBMIT,
    "get": READ,
    "list": READ,
    "workers": READ,
    "follow": READ,
    "unfollow": ANY,
    "read_log": READ,
    "list_runs": READ,
    "summarise": READ,
    "explain": READ,
    "validate": SUBMIT,
    "configure": READ,
    "keep": OWN,
    "dismiss": OWN,
    "purge": OWN,
    "delete_queue": OWN,
    "put_blobs": SUBMIT,
    "get_blobs": READ,
    "ping": ANY,
    "pong": ANY,
}
"""Messages of native clients, by type; `PARTS` has members that need more."""

WORKER_MESSAGES: Final[dict[str, Needs]] = {
    "register": WORK,
    "phase": WORK,
    "log_batch": WORK,
    "finished": WORK,
    "released": WORK,
    "drain": WORK,
    "put_blobs": WORK,
    "get_blobs": WORK,
    "ping": WORK,
    "pong": WORK,
}
"""Messages of native workers, by type."""

DIALECT_CLIENT_MESSAGES: Final[dict[str, Needs]] = {
    "StateChange": SUBMIT,
    "QueryJob": READ,
    "QueryJobStates": READ,
}
"""Messages of the dialect's clients, by type."""

DIALECT_WORKER_MESSAGES: Final[dict[str, Needs]] = {
    "WorkerRegistration": WORK,
    "StateChange": WORK,
    "JobStatusLogs": WORK,
    "RequestJobDefinitions": WORK,
    "WorkerStatusResponse": WORK,
}
"""Messages of the dialect's workers, by type."""

MCP_METHODS: Final[dict[str, Needs]] = {
    "initialize": ANY,
    "ping": ANY,
    "server/discover": ANY,
    "tools/list": ANY,
    "tools/call": ANY,
    "resources/list": READ,
    "resources/read": READ,
    "resources/templates/list": ANY,
    "tasks/get": READ,
    "tasks/cancel": SUBMIT,
    "tasks/update": READ,
}
"""Methods of MCP; a call of a tool needs what `MCP_TOOLS` has for the tool."""

MCP_TOOLS: Final[dict[str, Needs]] = {
    "submit": SUBMIT,
    "status": READ,
    "wait": READ,
    "logs": READ,
    "outputs": READ,
    "cancel": SUBMIT,
    "explain": READ,
    "list": READ,
}
"""Tools of MCP, which shows a key the tools that it may call."""

PARTS: Final[dict[str, Needs]] = {
    "hello.follow=queue": READ,
    "configure.retention": OWN,
    "configure.paused": OWN,
    "callbacks.whole_queue": OWN,
}
"""Members of messages and bodies that need more than the rest, at every door that has them."""


def needs_of(messages: Any, rows: Mapping[str, Needs]) -> dict[type, Needs]:
    """Returns the rights that the messages of a union need, by their classes.

    Raises:
        LookupError: A message has no row.
    """
    tags = {str(kind.__struct_config__.tag): kind for kind in get_args(messages)}
    if missing_rows := sorted(tags.keys() - rows.keys()):
        raise LookupError(f"messages without a row in {__name__}: {', '.join(missing_rows)}")
    return {kind: rows[tag] for tag, kind in tags.items()}


def open_socket(access: Access, kind: str) -> None:
    """Checks that a key may open a websocket.

    Raises:
        Forbidden: The key grants none of the rights that do.
    """
    rights = SOCKETS[kind]
    if access.rights.isdisjoint(rights):
        if len(rights) == 1:
            raise Forbidden(missing(rights[0]))
        named = " or ".join(f"'{right}'" for right in rights)
        raise Forbidden(f"this key of the queue grants neither of the rights {named}")
