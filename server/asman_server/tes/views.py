"""Shows jobs as tasks, in the three views of TES, with nothing that a client can't read.

A member without a value is left out: no null, no empty time. What is this hub's own is in ``logs[].metadata`` and
``logs[].system_logs``, where clients expect anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from asman_shared.definition import UPLOADED, DataRef, Definition
from asman_shared.errors import NotFound
from asman_shared.messages import JobState, OutputFile, Result, StepEnd
from asman_shared.places.urls import is_place
from asman_shared.states import State

from ..access import Access
from ..access.shown import shown
from ..core import Job
from ..core.job_state import log_end, standing
from ..hub import Hub
from ..queues.shell import QueueShell
from ..rest.blob_bytes import blob_bytes
from .notes import noted
from .states import TaskState, task_state
from .texts import texts

View = Literal["MINIMAL", "BASIC", "FULL"]
CONTENT_BYTES: Final = 1024 * 1024
"""Largest content of an input that is shown again, in bytes; larger ones were stored as blobs."""
SYSTEM_LOGS: Final = 100
"""Most sentences in the system logs of a task."""


class Shown:
    """Jobs of one queue, shown as tasks.

    Args:
        hub: The hub.
        shell: The queue.
        base: The hub's address, as the client has it.
        access: The rights of the client's key: without that to submit, it sees a part of each task.
    """

    def __init__(self, hub: Hub, shell: QueueShell, base: str, access: Access) -> None:
        self._hub = hub
        self._shell = shell
        self._base = base
        self._access = access

    async def task(self, job: Job, state: JobState, note: bytes | None, view: View) -> dict[str, Any]:
        """Returns a task.

        Args:
            job: The job, as the queue has it.
            state: Its durable state.
            note: The task as it was sent; None if the job came by another way.
            view: The view.

        Raises:
            Unavailable: The database can't be read now.
        """
        made: dict[str, Any] = minimal(state)
        if view == "MINIMAL":
            return made
        definition = await self._shell.definition(job.id)
        whole = self._access.sees_definitions
        if whole and note is not None:
            made |= noted(note)
        else:
            made |= _of(definition and shown(definition, self._access))
        made["creation_time"] = stamp(state.queued)
        if view == "FULL" and whole and definition is not None:
            await self._with_contents(made, definition)
        if state.started or state.state is State.FINISHED:
            made["logs"] = [await self._log(job, state, view)]
        return made

    async def _with_contents(self, made: dict[str, Any], definition: Definition) -> None:
        """Puts the contents of inputs into a task again."""
        for each in made.get("inputs") or ():
            ref = (definition.config_files or {}).get(str(each.get("path")))
            if ref is None or (each.get("url") and _is_address(ref, str(each["url"]))):
                continue
            content = await self._content(ref)
            if content:
                each["content"] = content

    async def _content(self, ref: DataRef) -> str | None:
        if ref.type == "utf8":
            return str(ref.value)
        if ref.type != "key":
            return None
        try:
            return (await blob_bytes(self._hub, str(ref.value), CONTENT_BYTES)).decode("utf-8", "replace")
        except NotFound:  # too large to be shown, or no longer stored
            return None

    async def _log(self, job: Job, state: JobState, view: View) -> dict[str, Any]:
        """Returns the log of the task's only attempt that is told."""
        verdict = state.verdict
        result = await self._shell.result(job.id) if state.state is State.FINISHED else None
        made: dict[str, Any] = {"logs": await self._executors(job, state, result, view), "outputs": []}
        if state.started:
            made["start_time"] = stamp(state.started)
        if state.state is State.FINISHED and state.finished:
            made["end_time"] = stamp(state.finished)
        made["metadata"] = {"asman_job": f"{self._base}{self._path(job.id)}"}
        if state.worker:
            made["metadata"]["asman_worker"] = state.worker
        said: list[str] = []
        if verdict is not None:
            said += [each for each in (verdict.message, verdict.hint) if each]
            if not verdict.ok and not said:
                said.append(f"the task ended: {verdict.reason}")
        if result is not None:
            made["outputs"] = [self._output(job.id, name, file) for name, file in sorted(result.outputs.items())]
            said += [f"not kept: /{name}: {why}" for name, why in result.skipped.items()]
        if said and view == "FULL":
            made["system_logs"] = said[:SYSTEM_LOGS]
        return made

    def _path(self, job_id: str) -> str:
        return self._hub.links.path(self._shell.name, job_id, whole=self._access.sees_definitions)

    def _output(self, job_id: str, name: str, file: OutputFile) -> dict[str, str]:
        elsewhere = file.ref.type == "url" and is_place(file.ref.value)
        return {
            "url": file.ref.value if elsewhere else f"{self._base}{self._path(job_id)}/outputs/{quote(name)}",
            "path": f"/{name}",
            "size_bytes": str(file.size),
        }

    async def _executors(self, job: Job, state: JobState, result: Result | None, view: View) -> list[dict[str, Any]]:
        """Returns the logs of the commands that have ended."""
        verdict = state.verdict
        ends = list(result.steps) if result is not None else []
        if not ends and verdict is not None and verdict.exit_code is not None:
            began = job.ran or state.started
            first = state.log_start if standing(job) else max(state.log_start, job.log_attempt)
            ends = [StepEnd(verdict.exit_code, began, state.finished, first, log_end(job))]
        return [await self._executor(job.id, end, view) for end in ends]

    async def _executor(self, job_id: str, end: StepEnd, view: View) -> dict[str, Any]:
        made: dict[str, Any] = {"exit_code": end.exit_code}
        if end.started:
            made["start_time"] = stamp(end.started)
        if end.finished:
            made["end_time"] = stamp(end.finished)
        if view == "FULL":
            made["stdout"], made["stderr"] = await texts(self._shell, job_id, end.first, end.next)
        return made


def _is_address(ref: DataRef, url: str) -> bool:
    """Whether a file was taken from an address, and not from the content that came with it."""
    return ref.type == "url" or url == f"{UPLOADED}{ref.value}"


def minimal(state: JobState) -> dict[str, Any]:
    """Returns the smallest view of a task."""
    return smallest(state.id, task_state(state.state, state.phase, state.verdict))


def smallest(task_id: str, state: TaskState) -> dict[str, Any]:
    """Returns the smallest view of a task in a state."""
    return {"id": task_id, "state": state}


def stamp(millis: int) -> str:
    """Returns a time in the form of RFC 3339."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of(definition: Definition | None) -> dict[str, Any]:
    """Returns what a task says of a job that came by another way."""
    if definition is None:
        return {"executors": []}
    command = definition.command
    words = command if isinstance(command, list) else ["/bin/sh", "-c", command] if command else []
    executor: dict[str, Any] = {"image": definition.image or "", "command": words}
    if definition.env:
        executor["env"] = definition.env
    return {"executors": [executor]}


__all__ = ["SYSTEM_LOGS", "Shown", "View", "minimal", "smallest", "stamp"]
