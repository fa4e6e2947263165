"""A queue core with a clock of its own and workers that do as they are told, for scenario tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asman_server.core import QueueCore, QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_shared.definition import Shape
from asman_shared.messages import Held, Outcome, Register, Summary
from asman_shared.states import Phase, State
from tests.support.invariants import check_capacity, check_core, check_no_idle_hands


def job_id(number: int) -> str:
    """A job id that is easy to read in a failure."""
    return f"{number:064x}"


class World:
    """A queue core with a clock of its own and workers that do as they are told, for scenario tests.

    Every step checks the invariants.
    """

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        self.core = QueueCore(policy)
        self.now = 1_000_000
        self.sessions: dict[str, int] = {}
        self.last: list[fx.Effect] = []
        self._session = 0

    def send(self, event: ev.Event) -> list[fx.Effect]:
        self.last = self.core.handle(event, self.now)
        check_core(self.core)
        check_capacity(self.core)
        check_no_idle_hands(self.core)
        return self.last

    def effects(self, kind: type[fx.Effect]) -> list[Any]:
        return [effect for effect in self.last if isinstance(effect, kind)]

    # ----------------------------------------------------------------------------------------------- clients

    def submit(self, number: int, namespace: str = "_", shape: Shape | None = None, **more: Any) -> str:
        """Submits a job and returns the answer: queued, joined or cached."""
        self.send(
            ev.Submitted(
                job=job_id(number),
                shape=shape or Shape(),
                summary=Summary(),
                namespace=namespace,
                reply_to=number,
                **more,
            )
        )
        (answer,) = self.effects(fx.SubmitAnswer)
        return str(answer.answer)

    def cancel(self, number: int, namespace: str = "_") -> bool:
        self.send(ev.CancelRequested(job_id(number), namespace))
        (answer,) = self.effects(fx.CancelAnswer)
        return bool(answer.released)

    def delete(self, number: int) -> None:
        self.send(ev.DeleteRequested(job_id(number)))

    # ----------------------------------------------------------------------------------------------- workers

    def join(
        self, name: str, cpus: float = 1, holding: Iterable[Held] = (), *, chooses: bool = False, **more: Any
    ) -> fx.Resumed:
        self._session += 1
        self.sessions[name] = self._session
        info = Register(incarnation=name.ljust(16, "."), name=name, cpus=cpus, holding=list(holding), **more)
        self.send(ev.WorkerJoined(self._session, info, chooses))
        (resumed,) = self.effects(fx.Resumed)
        assert isinstance(resumed, fx.Resumed)
        return resumed

    def claim(self, name: str, number: int) -> str:
        """A worker that chooses wants a job; returns why it does not get it, empty when it does."""
        self.send(ev.Claimed(name.ljust(16, "."), job_id(number)))
        return "".join(effect.message for effect in self.effects(fx.Refused))

    def lose(self, name: str) -> None:
        self.send(ev.WorkerLost(name.ljust(16, "."), self.sessions[name]))

    def drain(self, name: str) -> None:
        self.send(ev.DrainRequested(name.ljust(16, ".")))

    def phase(self, name: str, number: int, phase: Phase = Phase.RUNNING, attempt: int | None = None) -> None:
        self.send(ev.PhaseReported(name.ljust(16, "."), job_id(number), self._attempt(number, attempt), phase))

    def finish(self, name: str, number: int, code: int = 0, attempt: int | None = None, **more: Any) -> bool:
        """Reports an attempt as finished and returns whether it was accepted."""
        outcome = Outcome(kind="exited", exit_code=code) if not more else Outcome(**more)
        self.send(ev.AttemptFinished(name.ljust(16, "."), job_id(number), self._attempt(number, attempt), outcome))
        (ack,) = self.effects(fx.Acknowledge)
        told = self.last
        job = self.core.jobs[job_id(number)]
        self.send(ev.Settled(job.id, job.queued, job.rev))
        self.last = told
        return bool(ack.accepted)

    def release(self, name: str, number: int, attempt: int | None = None, *, lost: bool = False) -> None:
        self.send(ev.AttemptReleased(name.ljust(16, "."), job_id(number), self._attempt(number, attempt), lost))

    def _attempt(self, number: int, attempt: int | None) -> int:
        return self.core.jobs[job_id(number)].attempt if attempt is None else attempt

    # -------------------------------------------------------------------------------------------------- time

    def wait(self, ms: int) -> None:
        self.now += ms
        self.send(ev.Tick())

    # ------------------------------------------------------------------------------------------------- seeing

    def state(self, number: int) -> State:
        return self.core.jobs[job_id(number)].state

    def reason(self, number: int) -> str:
        verdict = self.core.jobs[job_id(number)].verdict
        return verdict.reason.value if verdict else ""

    def assigned(self) -> list[int]:
        """The jobs handed out by the last step."""
        return [int(effect.job.id, 16) for effect in self.effects(fx.Assign)]

    def aborted(self) -> list[int]:
        """The jobs whose attempts were aborted by the last step."""
        return [int(effect.job, 16) for effect in self.effects(fx.Abort)]

    def running(self) -> set[int]:
        return {int(j.id, 16) for j in self.core.jobs.values() if j.state is State.RUNNING}
