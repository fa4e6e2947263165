"""Connections of workers of the dialect, played on the virtual clock with the hub's own sessions."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest

from asman_server.core import QueuePolicy
from asman_server.dialect.worker_session import CONFIRM_SECONDS, REGISTER_SECONDS, DialectWorker
from asman_server.queues.queue_logs import QueueLogs
from asman_server.sessions.client import ClientSession
from asman_server.storage.commit import WebhookRow
from asman_shared.codec import encode
from asman_shared.definition import Definition
from asman_shared.identity import job_id
from asman_shared.messages import Hello, LogLine, Submit
from asman_shared.states import State
from tests.simulation.database import SimDatabase
from tests.simulation.host import QUEUE, Host
from tests.simulation.loop import run_virtual
from tests.simulation.network import Connection

MADE = Definition(image="busybox", command=["true"])
JOB = job_id(MADE)
UNKNOWN = "0" * 64
READING_SECONDS = 1.0
"""Mean time of a question to the database, in seconds; meanwhile the session that asks reads no further message."""


class Even(Random):
    """Draws the same number each time: nothing in transit is lost, and every wait takes 2.3 times its mean."""

    def random(self) -> float:
        """Returns the number."""
        return 0.9


def _even(_name: str) -> Random:
    return Even()


async def _uncalled(_row: WebhookRow) -> None:
    raise AssertionError("no job of these tests has a webhook")


class Hub:
    """A hub with one waiting job."""

    def __init__(self) -> None:
        self.database = SimDatabase(Even())
        self.host = Host(_even, self.database, QueuePolicy(), 0.001, _uncalled)

    async def begin(self) -> None:
        """Starts the hub and submits the job."""
        self.host.start()
        client = self._connect(ClientSession, "client")
        client.to_hub.put(encode([Hello(), Submit(ref=1, definition=MADE)]))
        await asyncio.sleep(1)
        assert self.state() is State.QUEUED

    def state(self) -> State:
        """Returns the state of the job in the core."""
        assert self.host.registry is not None
        return self.host.registry.queues[QUEUE].core.jobs[JOB].state

    def _connect(self, kind: Any, who: str) -> Connection:
        connection = self.host.connect(kind, who)
        assert connection is not None
        return connection

    def silent(self) -> Connection:
        """Connects a worker, which does not register."""
        return self._connect(DialectWorker, "silent")

    async def worker(self) -> Connection:
        """Connects and registers the one worker, after what was sent before has arrived."""
        await asyncio.sleep(0.01)
        connection = self._connect(DialectWorker, "worker")
        say(connection, "WorkerRegistration", {"id": "w", "version": "1", "cpus": 4, "gpus": 0, "time": 0})
        return connection


def say(connection: Connection, kind: str, payload: Any) -> None:
    """Sends a message to the hub."""
    connection.to_hub.put(msgspec.json.encode({"type": kind, "payload": payload}))


def claim(connection: Connection) -> None:
    """Claims the job."""
    say(connection, "StateChange", {"state": "Running", "job": JOB, "value": {"worker": "w"}})


def finish(connection: Connection, **more: Any) -> None:
    """Reports that the job has succeeded; ``more`` are parts of its result."""
    value = {"reason": "Success", "result": {"StatusCode": 0, "outputs": {}, **more}}
    say(connection, "StateChange", {"state": "Finished", "job": JOB, "value": value})


def keep_busy(hub: Hub, connection: Connection) -> None:
    """Makes the session ask a slow database, so that what is sent after this stays unread for a while."""
    hub.database.reading = READING_SECONDS
    say(connection, "RequestJobDefinitions", {"jobIds": [UNKNOWN]})


def test_a_claim_that_was_unread_when_the_worker_came_back_is_not_granted() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        old = await hub.worker()
        await asyncio.sleep(1)
        keep_busy(hub, old)
        claim(old)
        new = await hub.worker()
        await asyncio.sleep(15 * READING_SECONDS)
        assert hub.state() is State.QUEUED, "the worker was given a job that it may have stopped"
        claim(new)
        await asyncio.sleep(0.1)
        assert hub.state() is State.RUNNING
        assert hub.host.broken is None

    run_virtual(play)


def test_a_registration_that_was_unread_when_the_worker_came_back_does_not_take_its_place() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        old = await hub.worker()
        await asyncio.sleep(1)
        keep_busy(hub, old)
        say(old, "WorkerRegistration", {"id": "w", "version": "1", "cpus": 1, "gpus": 0, "time": 0})
        new = await hub.worker()
        await asyncio.sleep(15 * READING_SECONDS)
        claim(new)
        await asyncio.sleep(0.1)
        assert hub.state() is State.RUNNING, "the worker's present connection was closed for an old one"

    run_virtual(play)


def test_a_result_that_was_unread_when_the_worker_came_back_counts() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        old = await hub.worker()
        claim(old)
        await asyncio.sleep(1)
        assert hub.state() is State.RUNNING
        keep_busy(hub, old)
        finish(old)
        await hub.worker()
        await asyncio.sleep(15 * READING_SECONDS)
        assert hub.state() is State.FINISHED

    run_virtual(play)


def answering(connection: Connection) -> None:
    """Makes the worker answer status requests, as those of the dialect do."""

    def hear(frame: bytes | None) -> None:
        if frame is not None and b"StatusRequest" in frame:
            say(connection, "WorkerStatusResponse", {})

    connection.to_actor.listener = hear


def test_a_worker_that_stopped_a_job_while_its_claim_and_lines_were_unread_is_found_out() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        worker = await hub.worker()
        answering(worker)
        await asyncio.sleep(2)
        keep_busy(hub, worker)
        claim(worker)
        log_line(worker)
        await asyncio.sleep(15 * READING_SECONDS)
        assert hub.state() is State.RUNNING
        await alive(worker, CONFIRM_SECONDS + 5)
        assert worker.to_hub.cut, "a worker that may have stopped its job was not asked for it"
        back = await hub.worker()
        await alive(back, CONFIRM_SECONDS + 5)
        assert hub.state() is State.QUEUED, "a job that its worker had stopped stayed with it"

    run_virtual(play)


def test_lines_that_were_sent_after_a_list_with_the_job_are_proof_that_it_runs() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        worker = await hub.worker()
        answering(worker)
        await asyncio.sleep(2)
        claim(worker)
        await asyncio.sleep(5)
        log_line(worker)
        await alive(worker, 3 * CONFIRM_SECONDS)
        assert not worker.to_hub.cut
        assert hub.state() is State.RUNNING

    run_virtual(play)


def test_a_worker_that_answers_no_status_request_is_made_to_claim_its_job_again_once() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        worker = await hub.worker()
        await asyncio.sleep(2)
        claim(worker)
        await asyncio.sleep(5)
        log_line(worker)
        await alive(worker, CONFIRM_SECONDS)
        assert worker.to_hub.cut
        back = await hub.worker()
        claim(back)
        await alive(back, 3 * CONFIRM_SECONDS)
        assert not back.to_hub.cut
        assert hub.state() is State.RUNNING

    run_virtual(play)


async def alive(connection: Connection, seconds: float) -> None:
    """Waits, while the worker pings as often as those of the dialect do."""
    for _ in range(round(seconds / 5)):
        if not connection.to_hub.cut:
            connection.to_hub.put(b"PING")
        await asyncio.sleep(5)


def log_line(connection: Connection) -> None:
    """Sends a line of the job's log."""
    say(connection, "JobStatusLogs", {"jobId": JOB, "step": "", "logs": [["a line", 1]]})


def test_a_result_that_comes_while_the_database_is_away_counts_when_it_is_back() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        worker = await hub.worker()
        claim(worker)
        await asyncio.sleep(1)
        hub.database.away = True
        finish(worker, logs=[["a line", 1, False]])
        await asyncio.sleep(60)
        hub.database.away = False
        await asyncio.sleep(20)
        assert hub.state() is State.FINISHED
        assert hub.host.broken is None

    run_virtual(play)


def test_a_definition_that_is_asked_for_while_the_database_is_away_comes_when_it_is_back() -> None:
    hub = Hub()
    told: list[bytes] = []

    async def play() -> None:
        await hub.begin()
        worker = await hub.worker()
        worker.to_actor.listener = lambda frame: told.append(frame or b"")
        claim(worker)
        await asyncio.sleep(1)
        hub.database.away = True
        say(worker, "RequestJobDefinitions", {"jobIds": [UNKNOWN, JOB]})
        await asyncio.sleep(60)
        assert not any(b"BroadcastJobDefinitions" in frame for frame in told)
        assert any(frame.startswith(b"PONG") for frame in told), "the worker would have given the hub up"
        hub.database.away = False
        await asyncio.sleep(20)
        assert any(b"BroadcastJobDefinitions" in frame and b"busybox" in frame for frame in told)

    run_virtual(play)


def test_a_log_of_one_frame_is_stored_in_slices_between_which_others_are_served_and_the_end_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    sizes: list[int] = []
    served: list[int] = []
    add = QueueLogs.add

    async def counted(self: QueueLogs, incarnation: str, job: str, attempt: int, lines: list[LogLine]) -> Any:
        sizes.append(len(lines))
        asyncio.get_running_loop().call_soon(lambda: served.append(len(sizes)))
        return await add(self, incarnation, job, attempt, lines)

    monkeypatch.setattr(QueueLogs, "add", counted)

    async def play() -> None:
        await hub.begin()
        worker = await hub.worker()
        claim(worker)
        await asyncio.sleep(1)
        text = "".join(f"{number}\n" for number in range(20_500))
        say(worker, "JobStatusLogs", {"jobId": JOB, "step": "", "logs": [[text, 1]]})
        finish(worker)
        await asyncio.sleep(20)
        assert hub.state() is State.FINISHED
        assert hub.host.registry is not None
        shell = hub.host.registry.queues[QUEUE]
        assert shell.core.jobs[JOB].log_next == 20_500
        lines, _ = await shell.logs.read(JOB, 0, 30_000)
        assert [line.text for line in lines] == [str(line.seq) for line in lines]
        assert sum(sizes) == 20_500
        assert max(sizes) <= 1000
        assert served == list(range(1, len(sizes) + 1))

    run_virtual(play)


def test_a_worker_that_does_not_register_is_let_go_though_it_pings_and_one_that_does_stays() -> None:
    hub = Hub()

    async def play() -> None:
        await hub.begin()
        silent = hub.silent()
        registered = await hub.worker()
        for second in range(60):
            if second == REGISTER_SECONDS - 1:
                assert not silent.to_hub.cut
            for each in (silent, registered):
                each.to_hub.put(b"PING")
            await asyncio.sleep(1)
        assert silent.to_hub.cut
        assert not registered.to_hub.cut
        assert hub.host.broken is None

    run_virtual(play)
