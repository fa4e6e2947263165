"""Serves the dialect's websockets: connections that ask for no subprotocol."""

from __future__ import annotations

from starlette.websockets import WebSocket

from asman_shared.errors import CLOSE_REASONS, AsmanError, CloseCode

from ..access import access
from ..hub import Hub
from ..sessions.base import close_reason
from .client_session import DialectClient
from .queue_views import QueueViews
from .worker_session import DialectWorker

Kind = type[DialectClient] | type[DialectWorker]


async def serve(websocket: WebSocket, kind: Kind) -> None:
    """Serves a socket until it ends. Messages that arrive while the queue is loaded wait, so nothing is lost."""
    hub: Hub = websocket.app.state.hub
    views: QueueViews = websocket.app.state.views
    try:
        granted = access(websocket.path_params["queue"])
        async with hub.registry.using(granted.queue) as shell, views.using(shell) as view:
            await kind(websocket, granted, view, views, hub).run()
    except AsmanError as error:
        await websocket.accept()
        code = CloseCode.BAD_QUEUE if error.field == "queue" else CloseCode.OVERLOADED
        await websocket.close(code, close_reason(error.message or CLOSE_REASONS[code]))
