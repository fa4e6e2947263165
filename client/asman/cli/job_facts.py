"""The facts about a job that ``asman job show`` and ``asman job result`` print for people, one a line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asman_shared.definition import DataRef, Definition, Step
    from asman_shared.messages import JobState, Run, Verdict

    from ..job import Job
    from ..outputs import JobResult, Output

Fact = tuple[str, str]
"""A name and a value; the lines of a value with several are shown below each other."""
WIDTH: Final = 12
"""Columns of the names."""
SHOWN: Final = 40
"""Largest number of variables, inputs or outputs that are listed; the others are counted."""
TEXT: Final = 60
"""Largest number of characters of an input's text that is shown."""


def lines_of(facts: Iterator[Fact]) -> Iterator[str]:
    """Formats facts as lines, with the names in a column of their own."""
    for name, text in facts:
        first, *rest = text.splitlines() or [""]
        yield f"{name:>{WIDTH}}  {first}".rstrip()
        yield from (f"{'':{WIDTH}}  {line}".rstrip() for line in rest)


def facts_of(job: Job, result: JobResult | None) -> Iterator[Fact]:
    """Lists how a job stands, what it runs, and what came of it; what is not set is left out."""
    yield from ended_facts(job, result)
    yield from definition_facts(job.definition)
    if result is not None:
        yield from _outputs(result)


def ended_facts(job: Job, result: JobResult | None) -> Iterator[Fact]:
    """Lists how a job stands: its address, state, end, times and worker."""
    from asman_shared.units import format_duration

    state, verdict = job.state, job.verdict
    yield "job", job.id
    yield "url", job.url
    yield "state", _state(state, verdict)
    if verdict is not None:
        if verdict.exit_code is not None:
            yield "exit code", str(verdict.exit_code)
        yield from ((name, text) for name, text in (("message", verdict.message), ("hint", verdict.hint)) if text)
    yield from _times(state)
    if verdict is not None and (taken := _taken(state, verdict)) is not None:
        yield "took", format_duration(taken)
    if result is not None and result.phases:
        yield "phases", ", ".join(f"{name} {format_duration(taken)}" for name, taken in result.phases.items())
    worker = (result.worker if result is not None else "") or state.worker
    if worker:
        yield "worker", worker if worker == state.worker or not state.worker else f"{worker} ({state.worker})"
    if state.run > 1:
        yield "run", f"{state.run} (--runs shows the others)"
    if state.attempt > 1:
        yield "attempts", f"{state.attempt} in all runs of the job"
    if state.back:
        yield (
            "again",
            f"{state.back}, so it {'runs' if state.worker else 'ran' if verdict is not None else 'waits'} again",
        )
    if state.priority:
        yield "priority", str(state.priority)
    slots = [each for each in state.namespaces if each != "_"]
    if slots:
        yield "slots", ", ".join(slots)


def _taken(state: JobState, verdict: Verdict) -> int | None:
    """Returns how long a job ran, in milliseconds; None if that is not known, as of one that never started.

    The verdict on a job that the hub ended, such as a cancelled one, has no time of its own.
    """
    if verdict.duration or verdict.exit_code is not None:
        return verdict.duration
    return max(0, state.finished - state.started) if state.started and state.finished else None


def _state(state: JobState, verdict: Verdict | None) -> str:
    if verdict is not None:
        return verdict.reason.value
    return f"{state.state.value}, {state.phase.value}" if state.phase is not None else state.state.value


def _times(state: JobState) -> Iterator[Fact]:
    times = (("submitted", state.queued), ("started", state.started), ("finished", state.finished))
    yield from ((name, local_time(at)) for name, at in times if at)


def run_row(run: Run) -> tuple[str, ...]:
    """Returns the cells of a run in a table of runs."""
    from asman_shared.units import format_duration

    taken = run.duration or (max(0, run.finished - run.started) if run.started and run.finished else 0)
    kept = "" if run.log_kept else "not kept"
    return (
        str(run.number),
        "not yet" if run.reason is None else run.reason.value,
        "" if run.exit_code is None else str(run.exit_code),
        local_time(run.started) if run.started else "",
        format_duration(taken) if taken else "",
        run.worker,
        kept or f"{run.lines - run.log_start} lines",
    )


def local_time(at: int) -> str:
    """Formats a time in epoch milliseconds in this machine's zone: ``2026-01-31 09:30:00 +0100``."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def definition_facts(definition: Definition) -> Iterator[Fact]:
    """Lists what a definition runs; what is not set is left out."""
    if definition.image is not None:
        yield "image", definition.image
    if (build := definition.build) is not None:
        sources = (build.context, build.filename, build.target and f"stage {build.target}", build.platform)
        said = [text for text in sources if text]
        if build.dockerfile is not None:
            said.append(f"a Dockerfile of {len(build.dockerfile.splitlines())} lines")
        if said:
            yield "build", ", ".join(said)
    yield from _command(definition)
    for number, step in enumerate(definition.steps or (), start=2):
        yield "step", f"{number} of {len(definition.steps or ()) + 1}"
        if step.image is not None:
            yield "image", step.image
        yield from _command(step)
    if definition.volumes:
        yield "volumes", ", ".join(definition.volumes)
    yield from listed_facts("input", [_input(name, ref) for name, ref in (definition.inputs or {}).items()])
    yield from listed_facts("config file", [_input(name, ref) for name, ref in (definition.config_files or {}).items()])
    asked = _resources(definition)
    if asked:
        yield "asks for", ", ".join(asked)
    if definition.tags:
        yield "tags", ", ".join(definition.tags)
    if definition.outputs:
        yield "keeps", ", ".join(definition.outputs)


def _command(part: Definition | Step) -> Iterator[Fact]:
    for name, words in (("entrypoint", part.entrypoint), ("command", part.command)):
        if words is not None:
            yield name, words if isinstance(words, str) else shlex.join(words)
    if part.workdir is not None:
        yield "workdir", part.workdir
    yield from listed_facts("env", [f"{name}={_short(value)}" for name, value in (part.env or {}).items()])
    for stream in ("stdin", "stdout", "stderr"):
        if (path := getattr(part, stream)) is not None:
            yield stream, path
    if part.ignore_failure:
        yield "failure", "ignored"


def _resources(definition: Definition) -> list[str]:
    needs = definition.requirements
    asked: list[str] = []
    if needs is not None:
        asked += [f"{needs.cpus:g} cpus"] if needs.cpus is not None else []
        asked += [f"{needs.memory} of memory"] if needs.memory is not None else []
        asked += [f"{needs.gpus} gpus"] if needs.gpus else []
    limit = definition.max_duration or (needs.max_duration if needs is not None else None)
    asked += [f"at most {limit}"] if limit is not None else []
    asked += [f"{definition.shm_size} of shared memory"] if definition.shm_size is not None else []
    return asked


def _input(name: str, ref: DataRef) -> str:
    kind = ref.type or "utf8"
    if kind == "key":
        return f"{name}  blob {str(ref.value)[:12]}"
    if kind == "url":
        return f"{name}  {_short(ref.value)}"
    return f"{name}  {kind}: {_short(ref.value)}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


def _outputs(result: JobResult) -> Iterator[Fact]:
    yield from listed_facts("output", [f"{each.name}  {size_of(each)}" for each in result.outputs.values()])
    yield from listed_facts("not kept", [f"{name}: {why}" for name, why in _sorted(result.skipped)])
    if result.image_digest:
        yield "ran image", result.image_digest


def _sorted(skipped: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(skipped.items())


def listed_facts(name: str, values: list[str]) -> Iterator[Fact]:
    """Lists values of one name, and counts those beyond `SHOWN`."""
    for value in values[:SHOWN]:
        yield name, value
    if len(values) > SHOWN:
        yield "", f"… and {len(values) - SHOWN} more; --json shows all"


def size_of(output: Output) -> str:
    """Formats an output's size for people."""
    from asman_shared.units import format_size

    return format_size(output.size) if output.size_known else "unknown"
