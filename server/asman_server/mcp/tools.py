"""Lists the tools in one table, with what agents read about them, and calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

from msgspec import Struct, field

from asman_shared.errors import AsmanError, cut

from ..access import Access
from ..access.table import MCP_TOOLS, Needs
from . import answers, arguments, jobs, logs, submission
from .context import Context
from .protocol import INVALID_PARAMS, RpcError
from .whereabouts import ARGUMENT, SCHEMA


class Tool(Struct, frozen=True):
    """A tool.

    Attributes:
        name: Its name.
        title: Its name for people.
        says: Its description for agents.
        arguments: The type of its arguments.
        call: Carries out a call.
        hints: What clients may assume of it.
    """

    name: str
    title: str
    says: str
    arguments: type[Struct]
    call: Callable[[Context, Any], Awaitable[dict[str, Any]]]
    hints: dict[str, bool] = field(default_factory=lambda: {"readOnlyHint": True, "openWorldHint": False})

    @property
    def needs(self) -> Needs:
        """The rights that its key needs."""
        return MCP_TOOLS[self.name]


TOOLS: Final = {
    each.name: each
    for each in (
        Tool(
            "submit",
            "Run a job",
            "Runs a command in a container on a worker of this queue and returns its result: exit code, the end of the "
            "log, output files. Files given here are below /inputs (also $JOB_INPUTS); what the command writes below "
            "/outputs (also $JOB_OUTPUTS) is kept. An equal job that has run before is answered at once from the "
            "cache. A job that takes longer than 'wait' goes on: the answer has its id, for wait, status, logs, "
            "outputs and cancel.",
            arguments.SubmitArguments,
            submission.submit,
            {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True},
        ),
        Tool(
            "status",
            "State of a job",
            "Returns the state of a job at once: queued (and why it waits), running (and in which phase), or finished "
            "with its result, as submit returns it.",
            arguments.StatusArguments,
            jobs.status,
        ),
        Tool(
            "wait",
            "Wait for a job",
            "Waits until a job is finished and returns its result, or its state when the time is up: then call it "
            "again. The job goes on either way.",
            arguments.WaitArguments,
            jobs.wait,
        ),
        Tool(
            "logs",
            "Log of a job",
            "Returns a part of the log of a running or finished job: its last lines, the lines that match a regular "
            "expression, or those around the first error. Lines of stdout and stderr come in the order in which they "
            "were written.",
            arguments.LogsArguments,
            logs.logs,
        ),
        Tool(
            "outputs",
            "Output files of a job",
            "Returns the output files of a finished job: small texts themselves, all others as links.",
            arguments.OutputsArguments,
            jobs.outputs,
        ),
        Tool(
            "cancel",
            "Cancel a job",
            "Cancels a job that is queued or runs. A job that others hold, too, goes on for them.",
            arguments.CancelArguments,
            jobs.cancel,
            {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": False},
        ),
        Tool(
            "explain",
            "Explain a job",
            "Explains in a sentence why a job is in its state: the worker or resource that it waits for, its present "
            "work, or how it ended.",
            arguments.ExplainArguments,
            jobs.explain,
        ),
        Tool(
            "list",
            "List jobs",
            "Lists the jobs of this queue, the newest first, and counts its jobs and workers.",
            arguments.ListArguments,
            jobs.listed,
        ),
    )
}


def listed(access: Access, *, names_queue: bool = False) -> dict[str, Any]:
    """Answers ``tools/list``: the tools that a key may use.

    Args:
        access: The rights of the key.
        names_queue: Whether calls name the queue, because nothing else does.
    """
    found = [described(each.name) for each in TOOLS.values() if each.needs <= access.rights]
    return {"tools": [_with_queue(each) for each in found] if names_queue else found}


def _with_queue(described: dict[str, Any]) -> dict[str, Any]:
    """Returns the description of a tool with one more argument, the queue."""
    schema = described["inputSchema"]
    properties = {ARGUMENT: SCHEMA, **schema["properties"]}
    return {
        **described,
        "inputSchema": {**schema, "properties": properties, "required": [ARGUMENT, *schema.get("required", [])]},
    }


@cache
def described(name: str) -> dict[str, Any]:
    """Returns the description of a tool."""
    tool = TOOLS[name]
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.says,
        "inputSchema": arguments.schema_of(tool.arguments),
        "annotations": {"title": tool.title, **tool.hints},
    }


async def call(context: Context) -> dict[str, Any]:
    """Answers ``tools/call``. An error of the tool is an answer, which the agent reads.

    Raises:
        RpcError: There is no such tool.
    """
    name = context.call.params.get("name")
    if not isinstance(name, str):
        raise RpcError(INVALID_PARAMS, f"'name' names the tool, which is one of {', '.join(TOOLS)}")
    tool = TOOLS.get(name)
    if tool is None:
        raise RpcError(INVALID_PARAMS, f"there is no tool '{cut(name, 80)}' here; the tools are {', '.join(TOOLS)}")
    try:
        context.access.need_all(tool.needs)
        return await tool.call(context, _arguments(context, tool))
    except AsmanError as error:
        return answers.failure(error)


def _arguments(context: Context, tool: Tool) -> Struct:
    """Returns the arguments of a call, of which nothing else holds anything from then on: a call may wait for long."""
    read = arguments.read(context.call.params.get("arguments"), tool.arguments)
    context.call.params.clear()
    return read
