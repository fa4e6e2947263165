"""The doors of a hub: native messages and those of the dialect, of clients and of workers, and REST.

Each has a hub of its own. After every input the same connection must still answer, or must have been closed with a
reason; after many the hub must be healthy, take a job as usual, and be about as large as it was.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgpack
import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from asman_shared.errors import CloseCode
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.fuzz.builds import expect
from tests.fuzz.door import Door, Fault

MARGIN: Final = 192 * 1024 * 1024
"""Bytes by which a hub may grow over a run."""
_ROUND: Final = 50
"""Number of inputs between two looks at the hub."""
_REF: Final = 2**40
_JOB: Final = "$JOB"


class HubDoor(Door):
    """A door of a hub.

    Attributes:
        mutant: The fault that is planted in the hub; empty for none.
    """

    form = "json"
    seconds = 10.0
    mutant = ""

    @contextmanager
    def opened(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="asman-fuzz-", ignore_cleanup_errors=True) as folder:
            self.hub = HubProcess(Path(folder), "--grace", "1s", "--log-level", "warning", "--public-job-ids")
            if self.mutant:
                self.hub._before = [sys.executable, "-m", "tests.fuzz.planted_hub", self.mutant]
            self.hub.start()
            self._count = self._read = 0
            self._warm = 0
            try:
                self.job = self._submit()
                yield
            finally:
                self.hub.kill()

    def check(self, given: Any) -> None:
        self._count += 1
        self.give(_filled(given, self.job))
        self._listen()
        if self._count % _ROUND == 0:
            self.finish()

    def give(self, given: Any) -> None:
        """Gives an input to the hub."""
        raise NotImplementedError

    def finish(self) -> None:
        self._listen()
        expect(self.hub.healthy(), "the hub is not healthy")
        self.job = self._submit()
        size = psutil.Process(self.hub.pid).memory_info().rss
        if self._count >= 10 * _ROUND:
            self._warm = self._warm or size
            expect(size < self._warm + MARGIN, f"the hub grew from {self._warm} to {size} bytes")

    def _listen(self) -> None:
        """Looks for tracebacks in what the hub has logged since."""
        expect(self.hub.running, f"the hub has ended\n{self.hub.tail()}")
        with self.hub.log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        expect(b"Traceback" not in new, f"the hub logged a traceback: …{new[-220:].decode(errors='replace')}")

    def _submit(self) -> str:
        status, body = self._request(
            "POST", "/q/fuzz/jobs", {"definition": {"image": "a", "command": str(time.time())}}
        )
        expect(status in (200, 201), f"an ordinary job was answered with {status}")
        return str(json.loads(body)["job"]["id"])

    def _request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode("utf-8", "replace"))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _filled(given: Any, job: str) -> Any:
    """Returns an input with the id of a job in its place."""
    if isinstance(given, str):
        return given.replace(_JOB, job)
    if isinstance(given, list):
        return [_filled(each, job) for each in given]
    if isinstance(given, dict):
        return {_filled(name, job): _filled(each, job) for name, each in given.items()}
    return given


def _closed(closed: ConnectionClosed) -> None:
    """Checks that a connection was closed with a reason."""
    if closed.rcvd is None:
        raise Fault("the connection broke without a reason")
    expect(closed.rcvd.code in set(CloseCode), f"the connection was closed with {closed.rcvd.code}")
    expect(bool(closed.rcvd.reason), f"the connection was closed with {closed.rcvd.code} and no reason")


class _Native(HubDoor):
    """Native messages in msgpack: an input is a list of messages, which are one frame."""

    side = ""
    first: Final[dict[str, Any]] = {}

    def give(self, given: Any) -> None:
        try:
            frame = msgpack.packb(given)
        except (ValueError, OverflowError, TypeError, UnicodeEncodeError):
            return
        address = f"ws://127.0.0.1:{self.hub.port}/q/fuzz/{self.side}"
        with connect(
            address, subprotocols=[Subprotocol("asman.v1.msgpack")], compression=None, max_size=None, close_timeout=1
        ) as socket:
            try:
                socket.send(msgpack.packb([self._first()]))
                socket.send(frame)
                socket.send(msgpack.packb([{"type": "get_blobs", "ref": _REF, "keys": ["0" * 64]}]))
                self._hear(socket)
            except ConnectionClosed as closed:
                _closed(closed)

    def _first(self) -> dict[str, Any]:
        raise NotImplementedError

    def _hear(self, socket: ClientConnection) -> None:
        while True:
            frame = socket.recv(PATIENCE)
            assert isinstance(frame, bytes)
            for message in msgpack.unpackb(frame, strict_map_key=False):
                if message["type"] == "error":
                    expect(bool(message.get("message")), "an error says nothing")
                    expect("in the hub" not in message["message"], f"the hub made an error: {message}")
                if message.get("ref") == _REF:
                    return


class ClientMessages(_Native):
    """Native messages of clients."""

    name = "client_messages"
    side = "client"
    words = (
        _JOB, "submit", "cancel", "delete", "get", "list", "workers", "follow", "unfollow", "read_log", "summarise",
        "explain", "validate", "configure", "put_blobs", "get_blobs", "hello", "ref", "job", "limit", "cursor",
        "definition", "image", "namespace", "priority", "callbacks", "env", "inputs", "json", "value", "type",
    )  # fmt: skip

    def _first(self) -> dict[str, Any]:
        return {"type": "hello"}


class WorkerMessages(_Native):
    """Native messages of workers."""

    name = "worker_messages"
    side = "worker"
    words = (
        _JOB, "register", "phase", "log_batch", "finished", "released", "drain", "put_blobs", "get_blobs", "job", "ref",
        "attempt", "lines", "outcome", "kind", "exited", "exit_code", "result", "outputs", "running", "holding", "cpus",
    )  # fmt: skip

    def _first(self) -> dict[str, Any]:
        return {"type": "register", "incarnation": "fuzz-worker-00001", "name": "w", "cpus": 1}


class _Dialect(HubDoor):
    """Messages of the dialect: an input is a list of messages, each a frame."""

    side = ""

    def give(self, given: Any) -> None:
        with connect(
            f"ws://127.0.0.1:{self.hub.port}/q/fuzz/{self.side}", compression=None, max_size=None, close_timeout=1
        ) as socket:
            try:
                for each in given if isinstance(given, list) else [given]:
                    try:
                        text = json.dumps(each).encode()
                    except UnicodeEncodeError:
                        continue
                    socket.send(text, text=True)
                socket.send("PING")
                while not str(socket.recv(PATIENCE)).startswith("PONG"):
                    pass
            except ConnectionClosed as closed:
                _closed(closed)


class DialectClients(_Dialect):
    """Messages of the dialect's clients."""

    name = "dialect_clients"
    side = "client"
    words = (
        _JOB, "StateChange", "QueryJob", "QueryJobStates", "Queued", "Finished", "Running", "Cancelled", "enqueued",
        "definition", "control", "callbacks", "value", "payload", "type", "state", "job", "reason", "namespace", "id",
    )  # fmt: skip


class DialectWorkers(_Dialect):
    """Messages of the dialect's workers."""

    name = "dialect_workers"
    side = "worker"
    words = (
        _JOB, "StateChange", "WorkerRegistration", "JobStatusLogs", "RequestJobDefinitions", "Running", "Finished",
        "Success", "Error", "TimedOut", "worker", "result", "outputs", "logs", "step", "StatusCode", "value", "payload",
        "maxJobDuration", "cpus", "gpus", "24h", "json-worker-1", "utf8", "base64",
    )  # fmt: skip


class Rest(HubDoor):
    """Requests to every operation of the OpenAPI document.

    An input is ``{method, path, query: {name: value}, body}``; those of the document join the corpus.
    """

    name = "rest"
    words = (
        _JOB,
        "fuzz",
        "limit",
        "cursor",
        "since",
        "namespace",
        "-1",
        "0",
        "99999999999999999999",
        "1e3",
        "١",
        "30s",
    )
    _streams = ("/events", "/stream", "/wait")

    def seeds(self) -> list[Any]:
        status, body = self._request("GET", "/openapi.json")
        expect(status == 200, "there is no OpenAPI document")
        self._document = json.loads(body)
        made = super().seeds()
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                if method in ("get", "put", "post", "delete") and not path.endswith(self._streams):
                    made.append({"method": method.upper(), "path": _path(path), **self._given(operation)})
        return made

    def _given(self, operation: dict[str, Any]) -> dict[str, Any]:
        query = {
            each["name"]: self._example(each.get("schema", {}), 0)
            for each in operation.get("parameters", ())
            if each.get("in") == "query"
        }
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        return {"query": query, "body": self._example(content["schema"], 0) if content else None}

    def _example(self, schema: dict[str, Any], depth: int) -> Any:
        """Returns a value that a schema allows, or about that."""
        if depth > 6:
            return None
        if "$ref" in schema:
            return self._example(self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
        for some in ("anyOf", "oneOf"):
            if some in schema:
                return self._example(schema[some][-1], depth + 1)
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type")
        if kind == "object":
            members = schema.get("properties", {})
            return {name: self._example(each, depth + 1) for name, each in members.items()}
        if kind == "array":
            return [self._example(schema.get("items", {}), depth + 1)]
        return {"string": "a", "integer": schema.get("minimum", 1), "number": 1.5, "boolean": True}.get(str(kind))

    def give(self, given: Any) -> None:
        if not isinstance(given, dict):
            return
        path = quote(str(given.get("path") or "/"), safe="/%", errors="replace")
        query = given.get("query")
        if isinstance(query, dict) and query:
            path += "?" + urlencode(query, doseq=True, errors="replace")
        method = str(given.get("method"))
        if method not in ("GET", "PUT", "POST", "DELETE") or len(path) > 8_000 or path.startswith("//"):
            return
        if any(each in path for each in (*self._streams, "follow", "wait=")):
            return  # these answer when there is something to tell
        status, body = self._request(method, "/" + path.lstrip("/"), given.get("body"))
        expect(status < 500, f"{method} {path[:200]} was answered with {status}: {body[:200]!r}")
        if status >= 400 and body.startswith(b"{"):
            told = json.loads(body)
            expect(
                bool(told.get("message") or told.get("error") or told.get("msg") or "exists" in told),
                f"a refusal says nothing: {body[:200]!r}",
            )


def _path(template: str) -> str:
    for name, value in (("{queue}", "fuzz"), ("{id}", _JOB), ("{job}", _JOB), ("{path}", "a.txt"), ("{name}", "a.txt")):
        template = template.replace(name, value)
    return template
