"""The page and its parts: served from one folder and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import FileResponse

from asman_server.config import HubConfig
from asman_server.front import outward
from asman_server.rest import page as module
from asman_server.rest.page import FOR_WORKERS, NONCE, SERVES_LOCAL, asset, metaframe, show
from asman_shared.errors import NotFound


def request(
    path: str = "",
    *,
    raw: bytes = b"/",
    at: str = "hub:8000",
    sender: str = "127.0.0.1",
    scheme: str = "http",
    **settings: Any,
) -> Request:
    app = SimpleNamespace(state=SimpleNamespace(hub=SimpleNamespace(config=HubConfig(**settings))))
    scope = {"type": "http", "raw_path": raw, "path": "/", "path_params": {"path": path}, "app": app, "scheme": scheme}
    return Request({**scope, "headers": [(b"host", at.encode())], "client": (sender, 1)})


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


@pytest.mark.parametrize(
    ("at", "settings", "told"),
    [
        ("127.0.0.1:8000", {"public_url": "https://hub.example/a&b/"}, "https://hub.example/a&amp;b"),
        ("vm:8000", {"public_url": "https://hub.example"}, "https://hub.example"),
        ("127.0.0.1:8000", {"host": "0.0.0.0", "port": 8000}, "http://198.51.100.3:8000"),
        ("localhost:8123", {"host": "0.0.0.0", "port": 0}, "http://198.51.100.3:8123"),
        ("127.0.0.1:8000", {"host": "127.0.0.1"}, ""),
        ("vm:8000", {"host": "0.0.0.0"}, ""),
        ("127.0.0.1:9000", {"host": "0.0.0.0", "port": 8000}, ""),
        ("127.0.0.1:8000", {"host": "0.0.0.0", "sender": "172.17.0.1"}, ""),
        ("127.0.0.1:8000", {"host": "0.0.0.0", "scheme": "https"}, ""),
        ("127.0.0.1:8000", {"host": "198.51.100.9"}, ""),
    ],
)
async def test_workers_elsewhere_are_told_an_address_that_is_good_there(
    at: str, settings: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outward, "_outward", lambda: "198.51.100.3")
    html = bytes((await show(request(at=at, **settings))).body).decode()
    assert (FOR_WORKERS.format(told) in html) is bool(told)
    assert ("asman-for-workers" in html) is bool(told)


async def test_any_page_may_embed_it_where_no_queue_can_be_guessed() -> None:
    response = await show(request(allow_origin=("https://friend.example",)))
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
    response = await show(request(local_queue="secret", allow_origin=origins))
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
