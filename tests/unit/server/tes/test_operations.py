"""The routes of the door."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import Match, Route

from asman_server.app import make_app
from asman_server.config import HubConfig
from asman_server.hub import Hub

TASK = "a" * 64


def found(routes: list[Route], method: str, path: str) -> str:
    """The name of the route that answers a request."""
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    return next(each.name for each in routes if each.matches(scope)[0] is Match.FULL)


@pytest.mark.parametrize("prefix", ["/q/x/v1", "/q/x/ga4gh/tes/v1"])
def test_each_request_reaches_its_operation_and_what_is_more_special_comes_first(tmp_path: Path, prefix: str) -> None:
    routes = [each for each in make_app(Hub(HubConfig(data_dir=tmp_path))).routes if isinstance(each, Route)]
    for method, path, wanted in (
        ("GET", f"/tasks/{TASK}", "get_task"),
        ("GET", "/tasks/service-info", "tes_older_info"),
        ("GET", "/service-info", "tes_info"),
        ("GET", "/tasks", "list_tasks"),
        ("POST", "/tasks", "create_task"),
        ("POST", f"/tasks/{TASK}:cancel", "cancel_task"),
    ):
        assert found(routes, method, prefix + path).removeprefix("older_") == wanted, path
