"""Instructions of the hub's smallest steps, counted by callgrind: the same on a busy machine and on a quiet one.

Each step is run in a process under valgrind, often and twice as often; the difference is what it costs. Run as a module
(``python -m bench.instructions STEP TIMES``) it is such a process.
"""

from __future__ import annotations

import gc
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from asman_server.core import QueueCore
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_shared.codec import CLIENT_FRAMES
from asman_shared.definition import Definition
from asman_shared.definition_check import check
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.identity import job_id
from asman_shared.messages import Changed, JobState, Outcome, Register
from asman_shared.states import State
from bench.depth_jobs import submitted
from bench.small_jobs import submits

TIMES = 300
HELD = 100
INCARNATION = "bench-worker-0001"
NOW = 1_700_000_000_000


def _decode() -> Callable[[], object]:
    frame = submits(0, 1, 1)
    return lambda: CLIENT_FRAMES.decode(frame, Language.MSGPACK)


def _encode() -> Callable[[], object]:
    state = JobState(id="0" * 64, rev=3, state=State.FINISHED, attempt=1, queued=NOW, started=NOW, namespaces=["_"])
    return lambda: EncodedMessage(Changed(seq=1, job=state), key=state.id).bytes_in(Language.MSGPACK)


def _identify() -> Callable[[], object]:
    definition = Definition(image="a", command=["echo", "1-1"])
    return lambda: (check(definition), job_id(definition))


def _decide() -> Callable[[], object]:
    """Submits a job to a busy queue, ends another, and hands out the next."""
    core = QueueCore()
    jobs = iter([submitted(number) for number in range(2 * TIMES + 4 * HELD)])
    held: list[fx.Assign] = []
    outcome = Outcome(kind="exited", exit_code=0)

    def put(event: ev.Event) -> None:
        held.extend(effect for effect in core.handle(event, NOW) if isinstance(effect, fx.Assign))

    def step() -> None:
        put(next(jobs))
        if held:
            done = held.pop(0)
            put(ev.AttemptFinished(INCARNATION, done.job.id, done.attempt, outcome))
            put(ev.Settled(done.job.id, done.job.queued, done.job.rev))

    put(ev.WorkerJoined(1, Register(INCARNATION, "bench", cpus=HELD, memory=2**40)))
    while core.ready.waiting < HELD:
        put(next(jobs))
    return step


STEPS: dict[str, Callable[[], Callable[[], object]]] = {
    "read a submit": _decode,
    "check and identify a job": _identify,
    "decide on a submit, an end, an assignment": _decide,
    "write a change": _encode,
}


def _counted(step: str, times: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}", sys.executable, "-m", __name__]
        subprocess.run([*command, step, str(times)], check=True, capture_output=True, env={"PYTHONHASHSEED": "0"})
        found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])


def instructions() -> dict[str, float]:
    """Instructions of one run of each step; empty, with a line that says so, where there is no valgrind."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed (apt-get install valgrind): instructions are not counted")
        return {}
    return {step: (_counted(step, 2 * TIMES) - _counted(step, TIMES)) / TIMES for step in STEPS}


if __name__ == "__main__":
    gc.disable()
    made = STEPS[sys.argv[1]]()
    for _ in range(int(sys.argv[2])):
        made()
