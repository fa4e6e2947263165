"""A scripted hub: the real codec on a real websocket, with no queue behind it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.codec import CLIENT_FRAMES, Broken, encode
from asman_shared.definition import DataRef, Definition
from asman_shared.encoded import Language
from asman_shared.errors import NotFound
from asman_shared.identity import job_id
from asman_shared.states import Reason, State

M = TypeVar("M", bound=m.Message)

Answer = Callable[["Visitor", Any], None]


@dataclass
class FakeJob:
    """A job of the fake hub."""

    state: m.JobState
    definition: Definition
    lines: list[m.LogLine] = field(default_factory=list)
    result: m.Result | None = None
    runs: int = 1


class Visitor:
    """One client's connection."""

    def __init__(self, hub: FakeHub, ws: ServerConnection) -> None:
        self.hub = hub
        self.ws = ws
        self.follows: set[str] = set()
        self.logs: set[str] = set()
        self.queue_wide = False
        self._out: asyncio.Queue[m.Message] = asyncio.Queue()

    def say(self, *messages: m.Message) -> None:
        """Sends messages, in order."""
        for message in messages:
            self._out.put_nowait(message)

    async def write(self) -> None:
        """Sends queued messages until the connection ends."""
        while True:
            await self.ws.send(encode([await self._out.get()]))

    def drop(self) -> None:
        """Breaks the connection without a close frame."""
        self.ws.transport.abort()


class FakeHub:
    """The scripted hub. Tests replace answers in ``on`` and drive jobs by the methods."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.blobs: dict[str, bytes] = {}
        self.workers: list[m.WorkerState] = []
        self.seen: list[Any] = []
        self.frames: list[int] = []
        self.visitors: list[Visitor] = []
        self.uploads: list[str] = []
        self.downloads: list[str] = []
        self.epoch = "first"
        self.seq = 0
        self.time = 1_000_000
        self.heartbeat = limits.HEARTBEAT_MS
        self.default_image = ""
        self.port = 0
        self.blob_url = ""
        self.on: dict[type, Answer] = {}
        self.rest: Callable[[str], tuple[int, bytes]] = self._rest_jobs
        self._server: Server | None = None
        self._something = asyncio.Event()
        self._default: dict[type, Answer] = {
            m.Hello: self._hello,
            m.Submit: self._submit,
            m.Follow: self._follow,
            m.Get: self._get,
            m.ReadLog: self._read_log,
            m.Explain: self._explain,
            m.Cancel: self._cancel,
            m.Delete: self._delete,
            m.List: self._list,
            m.Workers: lambda v, x: v.say(m.WorkerPage(x.ref, self.workers)),
            m.PutBlobs: self._put_blobs,
            m.GetBlobs: self._get_blobs,
            m.Ping: lambda v, x: v.say(m.Pong(x.ref)),
            m.Unfollow: lambda v, x: v.say(m.Following(x.ref, active=False)),
        }

    # ----------------------------------------------------------------------------------------------- the connection

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.address}/q/test-queue"

    async def listen(self) -> None:
        self._server = await serve(
            self._visit,
            "127.0.0.1",
            self.port,
            subprotocols=[Subprotocol(limits.SUBPROTOCOL_MSGPACK)],
            compression=None,
            close_timeout=1,
            process_request=self._rest,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close(close_connections=False)
            for visitor in list(self.visitors):
                visitor.drop()
            await server.wait_closed()

    async def restart(self) -> None:
        """Stops, and starts again as another process."""
        await self.stop()
        self.epoch = f"{self.epoch}+"
        await self.listen()

    async def _visit(self, ws: ServerConnection) -> None:
        visitor = Visitor(self, ws)
        self.visitors.append(visitor)
        writer = asyncio.create_task(visitor.write())
        try:
            while True:
                data = await ws.recv()
                assert isinstance(data, bytes)
                messages = CLIENT_FRAMES.decode(data, Language.MSGPACK)
                self.frames.append(len(messages))
                for message in messages:
                    assert not isinstance(message, Broken), message
                    self.seen.append(message)
                    self._something.set()
                    self._something = asyncio.Event()
                    (self.on.get(type(message)) or self._default[type(message)])(visitor, message)
        except ConnectionClosed:
            pass
        finally:
            self.visitors.remove(visitor)
            writer.cancel()
            await asyncio.wait([writer])

    def all_of(self, kind: type[M]) -> list[M]:
        """Returns all received messages of a class, in order."""
        return [message for message in self.seen if isinstance(message, kind)]

    async def saw(self, kind: type[M], count: int = 1) -> list[M]:
        """Waits until this many messages of a class have been received."""
        while len(found := self.all_of(kind)) < count:
            await self._something.wait()
        return found

    def drop(self) -> None:
        """Breaks all connections without a word."""
        for visitor in list(self.visitors):
            visitor.drop()

    # -------------------------------------------------------------------------------------------------------- jobs

    def change(self, job: str, **fields: Any) -> m.JobState:
        """Changes a job and pushes it."""
        state = self.jobs[job].state
        values = {name: getattr(state, name) for name in state.__struct_fields__} | fields
        self.jobs[job].state = state = m.JobState(**{**values, "rev": state.rev + 1})
        self.seq += 1
        for visitor in self.visitors:
            if visitor.queue_wide or job in visitor.follows:
                visitor.say(m.Changed(self.seq, state))
        return state

    def start(self, job: str) -> None:
        self.change(job, state=State.RUNNING, attempt=1)

    def log(self, job: str, *texts: str, stream: int = m.STDOUT, push: bool = True) -> None:
        """Adds lines to a job's log."""
        kept = self.jobs[job]
        lines = [m.LogLine(len(kept.lines) + i, 5, stream, text) for i, text in enumerate(texts)]
        kept.lines += lines
        for visitor in self.visitors:
            if push and job in visitor.logs:
                visitor.say(m.LogLines(job, lines))

    def progress(self, job: str, done: int, total: int, unit: str = "bytes") -> None:
        """Pushes the progress of a job's present phase to its followers."""
        state = self.jobs[job].state
        assert state.phase is not None
        for visitor in self.visitors:
            if job in visitor.follows:
                visitor.say(m.PhaseProgress(job, state.attempt, state.phase, done, total, unit))

    def finish(self, job: str, exit_code: int | None = 0, reason: Reason | None = None, **more: Any) -> None:
        """Ends a job."""
        kept = self.jobs[job]
        why = reason or (Reason.SUCCESS if exit_code == 0 else Reason.FAILED)
        verdict = m.Verdict(why is Reason.SUCCESS, why, exit_code, lines=len(kept.lines), **more)
        self.change(job, state=State.FINISHED, verdict=verdict)

    def output(self, job: str, name: str, data: bytes, *, mode: int = 0o644) -> None:
        """Gives a job an output, as a blob."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        kept = self.jobs[job]
        kept.result = kept.result or m.Result()
        kept.result.outputs[name] = m.OutputFile(DataRef(sha256, "key"), len(data), sha256, mode=mode)

    # ----------------------------------------------------------------------------------------------------- answers

    def _hello(self, visitor: Visitor, message: m.Hello) -> None:
        visitor.queue_wide = message.follow == "queue"
        visitor.say(
            m.Welcome(
                1, "fake", self.epoch, self.seq, self.time, heartbeat=self.heartbeat, default_image=self.default_image
            )
        )

    def _submit(self, visitor: Visitor, message: m.Submit) -> None:
        job = job_id(message.definition)
        kept = self.jobs.get(job)
        verdict = kept.state.verdict if kept is not None else None
        over = kept is not None and kept.state.state is State.FINISHED
        ok = verdict is not None and verdict.ok
        reusable = message.reuse != "never" and verdict is not None and verdict.reason.cacheable
        if kept is not None and (not over or (reusable and (message.reuse != "success" or ok))):
            answer = "cached" if over else "joined"
        else:
            answer = "queued"
            rev, runs = (kept.state.rev + 1, kept.runs + 1) if kept else (1, 1)
            state = m.JobState(job, rev, State.QUEUED, queued=self.time)
            kept = self.jobs[job] = FakeJob(state, message.definition, runs=runs)
        if message.follow:
            visitor.follows.add(job)
        earlier = verdict if answer == "queued" else None
        visitor.say(m.Accepted(message.ref, answer, kept.state, able=1, earlier=earlier))  # type: ignore[arg-type]

    def _known(self, visitor: Visitor, message: Any) -> FakeJob | None:
        kept = self.jobs.get(message.job)
        if kept is None:
            error = NotFound("there is no such job on this queue")
            visitor.say(m.Error(error.code, error.message, message.ref, "job"))
        return kept

    def _follow(self, visitor: Visitor, message: m.Follow) -> None:
        if (kept := self._known(visitor, message)) is None:
            return
        visitor.follows.add(message.job)
        visitor.say(m.Following(message.ref, active=True, job=kept.state))
        if message.logs:
            visitor.logs.add(message.job)
            lines = kept.lines[message.since :]
            if lines:
                visitor.say(m.LogLines(message.job, lines))
        else:
            visitor.logs.discard(message.job)

    def _get(self, visitor: Visitor, message: m.Get) -> None:
        if (kept := self._known(visitor, message)) is not None:
            visitor.say(m.Job(message.ref, kept.state, kept.definition, kept.result))

    def _read_log(self, visitor: Visitor, message: m.ReadLog) -> None:
        if (kept := self._known(visitor, message)) is None:
            return
        lines = [line for line in kept.lines if line.seq >= message.since][: message.limit]
        after = lines[-1].seq + 1 if lines else message.since
        last = kept.lines[-1].seq + 1 if kept.lines else 0
        final = kept.state.state is State.FINISHED and after >= last
        visitor.say(m.LogPage(message.ref, lines, after, final))

    def _explain(self, visitor: Visitor, message: m.Explain) -> None:
        if (kept := self._known(visitor, message)) is not None:
            visitor.say(m.Explanation(message.ref, message.job, kept.state.state, "no worker is connected"))

    def _cancel(self, visitor: Visitor, message: m.Cancel) -> None:
        if (kept := self._known(visitor, message)) is None:
            return
        live = kept.state.state is not State.FINISHED
        if live:
            self.finish(message.job, None, Reason.CANCELLED)
        visitor.say(m.Cancelled(message.ref, live, self.jobs[message.job].state))

    def _delete(self, visitor: Visitor, message: m.Delete) -> None:
        if self._known(visitor, message) is not None:
            self.change(message.job, state=State.REMOVED)
            del self.jobs[message.job]
            visitor.say(m.Deleted(message.ref, message.job))

    def _rest(self, _connection: ServerConnection, request: Request) -> Response | None:
        """Answers a request that is not for a websocket, as set in ``rest``."""
        if "Upgrade" in request.headers:
            return None
        status, body = self.rest(request.path)
        return Response(status, "", Headers({"Content-Length": str(len(body)), "Connection": "close"}), body)

    def _rest_jobs(self, path: str) -> tuple[int, bytes]:
        """Answers ``GET …/jobs`` in pages of two."""
        query = parse_qs(urlsplit(path).query)
        jobs = [kept.state for kept in self.jobs.values()][::-1]
        if states := query.get("state"):
            jobs = [job for job in jobs if job.state in states]
        start = int(query.get("before", ["0"])[0])
        page = start + min(2, int(query["limit"][0]))
        value: dict[str, Any] = {"jobs": jobs[start:page], "counts": {}}
        return 200, msgspec.json.encode(value | ({"next": page} if page < len(jobs) else {}))

    def _list(self, visitor: Visitor, message: m.List) -> None:
        """Answers `List` in pages of two, newest first."""
        jobs = [kept.state for kept in self.jobs.values()][::-1]
        if message.states:
            jobs = [job for job in jobs if job.state in message.states]
        start = message.before or 0
        page = jobs[start : start + 2]
        more = start + 2 if start + 2 < len(jobs) else None
        visitor.say(m.JobPage(message.ref, page, more, m.Counts(workers=len(self.workers))))

    def _put_blobs(self, visitor: Visitor, message: m.PutBlobs) -> None:
        tickets = [
            m.BlobTicket(sha256, exists=True)
            if sha256 in self.blobs
            else m.BlobTicket(sha256, url=f"{self.blob_url}/{sha256}", headers={"X-Ticket": "yes"})
            for sha256, _ in message.blobs
        ]
        visitor.say(m.BlobTickets(message.ref, tickets))

    def _get_blobs(self, visitor: Visitor, message: m.GetBlobs) -> None:
        links = [
            m.BlobLink(key, f"{self.blob_url}/{key}", len(self.blobs[key])) if key in self.blobs else m.BlobLink(key)
            for key in message.keys
        ]
        visitor.say(m.BlobLinks(message.ref, links))


@asynccontextmanager
async def blob_store(hub: FakeHub) -> AsyncIterator[None]:
    """An HTTP server that keeps the hub's blobs."""

    async def put(request: web.Request) -> web.Response:
        data = await request.read()
        sha256 = request.match_info["key"]
        hub.uploads.append(sha256)
        if request.headers.get("X-Ticket") != "yes":
            return web.Response(status=403, text="no ticket")
        if hashlib.sha256(data).hexdigest() != sha256:
            return web.Response(status=422, text="other bytes than promised")
        hub.blobs[sha256] = data
        return web.Response(status=201)

    async def get(request: web.Request) -> web.Response:
        hub.downloads.append(request.match_info["key"])
        return web.Response(body=hub.blobs[request.match_info["key"]])

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_put("/{key}", put)
    app.router.add_get("/{key}", get)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        hub.blob_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield
    finally:
        await runner.cleanup()
