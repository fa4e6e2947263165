"""Tells people and agents about the door: whether it works, what it can do, and a skill that explains its use."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits

from ..rest.base import as_json, hub_of
from .methods import SERVER
from .protocol import LEGACY, MODERN, TASKS
from .tools import TOOLS

SKILL: Final = Path(__file__).with_name("skill.md")


class Health(Struct, omit_defaults=True):
    """Whether the hub can take jobs."""

    status: Literal["ok", "unavailable"]
    reason: str = ""


class Info(Struct):
    """The versions, addresses, tools and limits of the server."""

    name: str
    title: str
    version: str
    transport: str
    protocol_versions: list[str]
    extensions: list[str]
    endpoints: dict[str, str]
    tools: dict[str, str]
    limits: dict[str, int]
    skill: str


async def health(request: Request) -> Response:
    """Tells whether jobs can be taken, and if not, why."""
    why = await hub_of(request).unready()
    return as_json(Health("unavailable", why), 503) if why else as_json(Health("ok"))


async def info(_request: Request) -> Response:
    """Returns the versions, addresses, tools and limits of the MCP server."""
    return as_json(
        Info(
            **SERVER,
            transport="streamable HTTP, by POST",
            protocol_versions=[*MODERN, *LEGACY],
            extensions=[TASKS],
            endpoints={
                "/q/{queue}/mcp": "the queue is in the address",
                "/mcp": "the header X-Asman-Queue or the argument 'queue' of each tool names the queue",
            },
            tools={tool.name: tool.title for tool in TOOLS.values()},
            limits={
                "body_bytes": limits.FRAME_BYTES,
                "wait_seconds": limits.WAIT_SECONDS,
                "text_bytes": limits.TOOL_TEXT_BYTES,
                "resource_bytes": limits.TOOL_CONTENT_BYTES,
            },
            skill="/skill.md",
        )
    )


async def skill(_request: Request) -> Response:
    """Returns a skill for agents, in Markdown: how to use a queue."""
    headers = {"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}
    return Response(_skill(), media_type="text/markdown", headers=headers)


@cache
def _skill() -> str:
    return SKILL.read_text()
