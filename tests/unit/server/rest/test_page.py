"""The page and its parts: served from one folder and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.requests import Request
from starlette.responses import FileResponse

from asman_server.config import HubConfig
from asman_server.rest import page as module
from asman_server.rest.page import NONCE, SERVES_LOCAL, asset, metaframe, show
from asman_shared.errors import NotFound


def request(path: str = "", *, local: str = "", origins: tuple[str, ...] = (), raw: bytes = b"/") -> Request:
    hub = SimpleNamespace(config=HubConfig(local_queue=local, allow_origin=origins))
    app = SimpleNamespace(state=SimpleNamespace(hub=hub))
    return Request({"type": "http", "raw_path": raw, "headers": [], "path_params": {"path": path}, "app": app})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "page"
    (made / "assets" / "sub").mkdir(parents=True)
    (made / "assets" / "a.js").write_text("1")
    (made / "assets" / "sub" / "b.css").write_text("x")
    (made / "index.html").write_text(f'<html><head><script nonce="{NONCE}" src="./assets/a.js"></script></head></html>')
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
    """No address of this origin is trusted: files of strangers are served there, too."""
    nonces = set()
    for _ in range(20):
        response = await show(request())
        rules = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
        found = re.fullmatch(r"'nonce-([\w-]{20,})'", rules["script-src"])
        assert found
        assert f'<script nonce="{found[1]}" src="./assets/a.js">'.encode() in bytes(response.body)
        assert rules["worker-src"] == rules["object-src"] == rules["base-uri"] == "'none'"
        nonces.add(found[1])
    assert len(nonces) == 20
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"/", "./assets/a.js"),
        (b"/q/lab", "../assets/a.js"),
        (b"/q/lab/", "../../assets/a.js"),
        (b"/q/a%2Fb", "../assets/a.js"),
        (b"/j/" + b"a" * 64, "../assets/a.js"),
    ],
)
async def test_its_parts_are_found_from_each_address_also_below_a_path_of_a_proxy(raw: bytes, found: str) -> None:
    assert f'src="{found}"'.encode() in bytes((await show(request(raw=raw))).body)


async def test_any_page_may_embed_it_where_no_queue_can_be_guessed() -> None:
    response = await show(request(origins=("https://friend.example",)))
    assert "frame-ancestors" not in response.headers["content-security-policy"]
    assert SERVES_LOCAL.encode() not in bytes(response.body)


@pytest.mark.parametrize(
    ("origins", "ancestors"),
    [
        ((), "'self'"),
        (
            ("https://friend.example/", "null", "http://localhost:9000"),
            "'self' https://friend.example http://localhost:9000",
        ),
        (("*",), "'self' *"),
    ],
)
async def test_only_allowed_pages_may_embed_that_of_a_hub_with_the_queue_local(
    origins: tuple[str, ...], ancestors: str
) -> None:
    response = await show(request(local="secret", origins=origins))
    assert response.headers["content-security-policy"].endswith(f"; frame-ancestors {ancestors}")
    assert SERVES_LOCAL.encode() in bytes(response.body)


async def test_a_page_that_was_not_built_says_how_to_build_it(folder: Path) -> None:
    (folder / "index.html").unlink()
    response = await show(request())
    assert b"make web" in bytes(response.body)
    assert "script-src 'nonce-" in response.headers["content-security-policy"]


async def test_the_description_for_embedding_pages_is_json_with_typed_parameters() -> None:
    found = json.loads(bytes((await metaframe(request())).body))
    assert found["version"] == "2"
    for parameter in found["hashParams"].values():
        assert parameter["type"] in {"json", "string", "boolean"}
        assert parameter["label"]
        assert parameter["description"]
