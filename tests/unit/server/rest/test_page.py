"""The page and its parts: served from one folder and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import FileResponse

from asman_server.rest import page as module
from asman_server.rest.page import PAGE_HEADERS, asset, metaframe, show
from asman_shared.errors import NotFound


def request(path: str = "") -> Request:
    return Request({"type": "http", "headers": [], "path_params": {"path": path}})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "page"
    (made / "assets" / "sub").mkdir(parents=True)
    (made / "assets" / "a.js").write_text("1")
    (made / "assets" / "sub" / "b.css").write_text("x")
    (made / "index.html").write_text("<p>page")
    (tmp_path / "secret.js").write_text("secret")
    (made / "assets-other").mkdir()
    (made / "assets-other" / "c.js").write_text("other")
    monkeypatch.setattr(module, "FOLDER", made)
    return made


@pytest.mark.parametrize(("path", "kind"), [("a.js", "text/javascript"), ("sub/b.css", "text/css")])
async def test_parts_of_the_page_are_kept_by_caches_for_ever(path: str, kind: str) -> None:
    response = await asset(request(path))
    assert isinstance(response, FileResponse)
    assert response.headers["content-type"].startswith(kind)
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "sub",
        "none.js",
        "../index.html",
        "../../secret.js",
        "/etc/passwd",
        "../assets-other/c.js",
        "sub/../../index.html",
        "a\0b",
        "sub/\0",
        "\ud800",
        "x" * 300,
        "x/" * 5000,
    ],
)
async def test_nothing_else_is_served(path: str) -> None:
    with pytest.raises(NotFound):
        await asset(request(path))


async def test_a_link_out_of_the_folder_leads_nowhere(folder: Path) -> None:
    (folder / "assets" / "link.js").symlink_to(folder.parent / "secret.js")
    with pytest.raises(NotFound):
        await asset(request("link.js"))


async def test_the_page_runs_its_own_scripts_alone() -> None:
    response = await show(request())
    assert isinstance(response, FileResponse)
    assert "script-src 'self';" in response.headers["content-security-policy"]
    assert all(response.headers[name] == value for name, value in PAGE_HEADERS.items())


async def test_a_page_that_was_not_built_says_how_to_build_it(folder: Path) -> None:
    (folder / "index.html").unlink()
    response = await show(request())
    assert b"make web" in bytes(response.body)
    assert response.headers["content-security-policy"] == PAGE_HEADERS["Content-Security-Policy"]


async def test_the_description_for_embedding_pages_is_json_with_typed_parameters() -> None:
    found = json.loads(bytes((await metaframe(request())).body))
    assert found["version"] == "2"
    for parameter in found["hashParams"].values():
        assert parameter["type"] in {"json", "string", "boolean"}
        assert parameter["label"]
        assert parameter["description"]
