"""The TES door of a hub: tasks that are created, shown in each view, listed and cancelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

from asman_server.tes.states import ASKED
from tests.fuzz.builds import expect
from tests.fuzz.hub_doors import HubDoor

PREFIXES: Final = ("/ga4gh/tes/v1", "/v1")
REFUSED: Final = (400, 404, 413, 429)
_MEMBERS: Final = {
    "id", "state", "creation_time", "logs", "name", "description", "executors", "inputs", "outputs", "resources",
    "volumes", "tags", "callback_url",
}  # fmt: skip


class TesTasks(HubDoor):
    """Tasks of GA4GH TES.

    An input is ``{at, task, list: {name: value}}``: the address, the body of a create, and the query of a list.
    """

    name = "tes_tasks"
    words = (
        "executors", "image", "command", "inputs", "outputs", "path", "url", "content", "path_prefix", "type", "FILE",
        "DIRECTORY", "s3://bucket/", "file:///srv/", "asman:", "key:", "/out/", "/../", "resources", "gpus", "tags",
        "max_duration", "backend_parameters", "asman.reuse", "callback_url", "volumes", "stdout", "page_token", "-1",
        "99999999999999999999", "١", "1e3", "FULL", "QUEUED",
    )  # fmt: skip

    def give(self, given: Any) -> None:
        if not isinstance(given, dict):
            return
        at = given.get("at") if given.get("at") in PREFIXES else PREFIXES[0]
        self._list(f"/q/fuzz{at}/tasks", given.get("list"))
        task: Any = given.get("task")
        answer = self._asked("POST", f"/q/fuzz{at}/tasks", task)
        if answer is None:
            return
        expect(list(answer) == ["id"], f"a create was answered with {answer}")
        other = PREFIXES[at == PREFIXES[0]]
        again = self._asked("POST", f"/q/fuzz{other}/tasks", task)
        expect(again == answer, f"the same create at the other address was answered with {again}")
        made = answer["id"]
        where = f"/q/fuzz{at}/tasks/{made}"
        views = {view: self._asked("GET", f"{where}?view={view}") for view in ("MINIMAL", "BASIC", "FULL")}
        for view, shown in views.items():
            expect((shown or {}).get("id") == made, f"a new task is not shown: {shown}")
            expect(not (unread := list(_unreadable(shown))), f"{view} has what clients can't read: {unread}")
            expect(set(shown or ()) <= _MEMBERS, f"{view} has members that TES has not: {sorted(shown or ())}")
        expect(set(views["MINIMAL"] or ()) == {"id", "state"}, f"MINIMAL has {views['MINIMAL']}")
        basic: Any = views["BASIC"]
        full: Any = views["FULL"]
        expect(not any("content" in each for each in basic.get("inputs", ())), "BASIC has the contents of inputs")
        sent = [None if each.get("url") else each.get("content") or None for each in task.get("inputs") or ()]
        told = [each.get("content") for each in full.get("inputs", ())]
        expect(told == sent, "FULL has other contents than were sent")
        expect(self._asked("POST", f"/q/fuzz{other}/tasks/{made}:cancel") == {}, "a new task could not be cancelled")
        last = self._asked("GET", where) or {}
        expect(last.get("state") == "CANCELED", f"a cancelled task is {last.get('state')}")

    def _list(self, path: str, query: Any) -> None:
        text = urlencode(query, doseq=True, errors="replace", quote_via=quote) if isinstance(query, dict) else ""
        if len(text) < 8_000:
            page = self._asked("GET", f"{path}?{text}")
            expect(page is None or not list(_unreadable(page["tasks"])), "a list has what clients can't read")

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """Returns the answer to a request; None if it was refused, with a sentence."""
        status, text = self._request(method, path, body)
        expect(status == 200 or status in REFUSED, f"{method} {path[:200]} was answered with {status}: {text[:200]!r}")
        answer: dict[str, Any] = json.loads(text)
        if status == 200:
            return answer
        expect(bool(answer.get("msg")) and answer.get("status_code") == status, f"a refusal says nothing: {answer}")
        return None


def _unreadable(value: Any, name: str = "") -> Iterator[str]:
    """Yields the names of members that one of the clients breaks on."""
    if value is None or (name.endswith("_time") and not value):
        yield name
    elif name == "state" and value not in ASKED:
        yield f"state {value}"
    elif isinstance(value, dict) and name not in ("env", "tags", "backend_parameters"):
        for inner, each in value.items():
            yield from _unreadable(each, inner)
    elif isinstance(value, list):
        for each in value:
            yield from _unreadable(each)
