"""Values of ``--json`` output, with the names and units of the protocol messages (epoch milliseconds, bytes)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asman_shared.messages import JobState, JobSummary

    from ..job import Job
    from ..logs import Line
    from ..outputs import JobResult


def state_value(state: JobState) -> dict[str, Any]:
    """Converts a job's state."""
    import msgspec

    value: dict[str, Any] = msgspec.to_builtins(state)
    return value


def job_value(job: Job, result: JobResult | None = None) -> dict[str, Any]:
    """Converts a job: its state, its URL, the answer to submitting it, and its result if there is one."""
    import msgspec

    value = {**state_value(job.state), "url": job.url}
    if job.answer:
        value |= {"answer": job.answer, "able": job.able, "why": job.why}
    if job.earlier is not None:
        value["earlier"] = msgspec.to_builtins(job.earlier)
    if job.verdict is not None:
        value["verdict"] = msgspec.to_builtins(job.verdict)
    if result is not None:
        value["outputs"] = outputs_value(job, result)
        value["skipped"] = result.skipped
        value["phases"] = msgspec.to_builtins(result.phases)
        value["image_digest"] = result.image_digest
    return value


def outputs_value(job: Job, result: JobResult) -> dict[str, Any]:
    """Converts a job's outputs, by name."""
    from urllib.parse import quote

    return {
        name: {
            "size": output.size,
            "sha256": output.sha256,
            "media_type": output.media_type,
            "url": f"{job.url}/outputs/{quote(name)}",
        }
        for name, output in result.outputs.items()
    }


def line_value(line: Line) -> dict[str, Any]:
    """Converts a line of a log."""
    value = {
        "seq": line.seq,
        "time": line.time,
        "stream": line.stream,
        "text": line.text,
        "phase": line.phase,
    }
    if line.end != "\n":
        value["end"] = line.end
    return value | {"missing": line.missing} if line.missing else value


def summary_value(summary: JobSummary) -> dict[str, Any]:
    """Converts the summary of a job."""
    import msgspec

    from ..logs import line_of

    value: dict[str, Any] = msgspec.to_builtins(summary)
    for name in ("type", "ref"):
        value.pop(name, None)
    lines = {name: [line_value(line_of(line)) for line in getattr(summary, name)] for name in ("last", "error")}
    return {**value, **lines, "lines": summary.lines, "missing": summary.missing}
