"""The routes of the door."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import Match, Route

from asman_server.app import make_app
from asman_server.config import HubConfig
from asman_server.hub import Hub

TASK = "a" * 64


def found(routes: list[Route], method: str, path: str) -> tuple[int, str]:
    """The place and the name of the route that answers a request."""
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    return next((at, each.name) for at, each in enumerate(routes) if each.matches(scope)[0] is Match.FULL)


@pytest.mark.parametrize("prefix", ["/q/x/v1", "/q/x/ga4gh/tes/v1"])
def test_polls_are_found_before_all_else_and_lead_where_others_do(tmp_path: Path, prefix: str) -> None:
    routes = [each for each in make_app(Hub(HubConfig(data_dir=tmp_path))).routes if isinstance(each, Route)]
    at, name = found(routes, "GET", f"{prefix}/tasks/{TASK}")
    assert (name.removeprefix("older_"), at < 6) == ("get_task", True)
    for method, path, wanted in (
        ("GET", "/tasks/service-info", "tes_older_info"),
        ("GET", "/tasks", "list_tasks"),
        ("POST", "/tasks", "create_task"),
        ("POST", f"/tasks/{TASK}:cancel", "cancel_task"),
    ):
        assert found(routes, method, prefix + path)[1].removeprefix("older_") == wanted, path
