"""Who may use the queue of somebody's own machine: nobody that the operator does not know of."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.dialect.local import MAY_USE_LOCAL, LocalGate

EVIL = "https://evil.example"
FRIEND = "https://friend.example"


async def ask(
    path: str,
    *,
    kind: str = "http",
    method: str = "GET",
    client: str = "127.0.0.1",
    origins: tuple[str, ...] = (),
    in_network: bool = False,
    **headers: str,
) -> str:
    """The path that the hub is asked for, or empty when the gate keeps it from there."""
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"] + (" to local" if scope.get(MAY_USE_LOCAL) else ""))

    async def send(message: Any) -> None:
        assert message["type"] in ("http.response.start", "http.response.body", "websocket.close")
        names = [name for name, _ in message.get("headers", ())]
        assert b"access-control-allow-origin" not in names, "a page may not read why"

    named = {"host": "localhost:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": kind,
        "path": path,
        "client": (client, 5),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    if kind == "http":
        scope["method"] = method
    await LocalGate(app, "secret", origins, "hub.example", in_network=in_network)(scope, None, send)  # type: ignore[arg-type]
    return "".join(reached)


@pytest.mark.parametrize(
    ("asked", "reached"),
    [
        ("/q/local", "/q/secret"),
        ("/q/local/client", "/q/secret/client"),
        ("/local/client", "/secret/client"),
        ("/local/worker", "/secret/worker"),
        ("/local/metrics", "/secret/metrics"),
        ("/local/status", "/secret/status"),
        ("/q/local/j/0/local/cancel", "/q/secret/j/0/local/cancel"),
        ("/q/other/client", "/q/other/client"),
        ("/local", "/local"),
        ("/", "/"),
    ],
)
async def test_local_stands_for_the_queue_of_this_machine(asked: str, reached: str) -> None:
    assert await ask(asked) == reached


@pytest.mark.parametrize(
    "path", ["/q/local", "/local/client", "/q/local/client", "/f/00", "/j/00", "/j/00/copy", "/q/other/j/00/copy"]
)
async def test_pages_of_other_origins_reach_nothing_that_they_could_guess(path: str) -> None:
    for kind in ("http", "websocket"):
        for origin in (EVIL, "null", "http://localhost:9999", "http://127.0.0.1:8000.evil.example"):
            assert not await ask(path, kind=kind, origin=origin)
            assert not await ask(path, kind=kind, origin=origin, origins=(FRIEND,))
    for method in ("POST", "PUT", "OPTIONS"):
        assert not await ask(path, method=method, origin=EVIL)
    assert not await ask(path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert await ask(path, sec_fetch_site="cross-site", sec_fetch_mode="navigate"), "a link may be followed"
    assert not await ask(path, method="POST", sec_fetch_site="cross-site", sec_fetch_mode="navigate")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[", "a@localhost.b"]
)
async def test_a_name_that_was_made_to_lead_here_is_not_this_hubs(host: str) -> None:
    for path in ("/q/local", "/local/client", "/f/00", "/j/00/copy"):
        assert not await ask(path, host=host)
        assert not await ask(path, host=host, origin=f"http://{host}")


async def test_a_hub_of_a_network_is_reached_by_any_name_but_for_local() -> None:
    for path in ("/f/00", "/j/00"):
        assert await ask(path, in_network=True, host="myserver:8000", client="192.168.1.7")
        assert await ask(path, in_network=True, host="myserver:8000", origin="http://myserver:8000")
        assert not await ask(path, in_network=True, host="myserver:8000", origin=EVIL)
    assert not await ask("/q/local", in_network=True, host="myserver:8000")
    assert await ask("/j/00/copy", in_network=True) == "/j/00/copy to local"
    for host, client in (("myserver:8000", "127.0.0.1"), ("10.0.0.2:8000", "10.0.0.7")):
        assert await ask("/j/00/copy", in_network=True, host=host, client=client) == "/j/00/copy"


async def test_nobody_else_in_the_network_may_use_local() -> None:
    for client in ("192.168.1.7", "fe80::1", "nonsense", "8.8.8.8"):
        assert not await ask("/q/local/client", client=client, host="192.168.1.2:8000")
        assert await ask("/q/secret/client", client=client, host="192.168.1.2:8000")
    for client in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert await ask("/q/local/client", client=client)


async def test_the_hubs_own_page_programs_and_named_origins_are_let_in() -> None:
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "x.localhost:8000", "hub.example"):
        assert await ask("/q/local", host=host)
        assert await ask("/q/local", host=host, origin=f"http://{host}")
    assert await ask("/local/client", kind="websocket", origin=FRIEND, origins=(FRIEND + "/",))
    assert await ask("/f/00", method="PUT", origin=FRIEND, origins=(FRIEND,))
    assert await ask("/q/local", origin=EVIL, origins=("*",))


async def test_queues_with_secret_names_and_the_page_are_open_to_all() -> None:
    for path in ("/q/secret/client", "/q/secret", "/secret/client", "/b/00"):
        assert await ask(path, origin=EVIL, host="evil.example") == path


@pytest.mark.parametrize(
    "path", ["/", "/metaframe.json", "/healthz", "/readyz", "/metrics", "/openapi.json", "/assets/x.js"]
)
async def test_a_page_of_another_origin_can_not_learn_that_there_is_a_hub(path: str) -> None:
    assert not await ask(path, origin=EVIL)
    assert not await ask(path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert await ask(path, origin=FRIEND, origins=(FRIEND,)) == path
    assert await ask(path) == path
    assert await ask(path, host="any.name.of.a.probe") == path
