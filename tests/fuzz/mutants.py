"""Faults planted on purpose, one a door: a fuzzer that does not find them proves nothing.

Each fault is a mistake that a reasonable person might make. Those of a hub are planted in its process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from asman_server.dialect import session, worker_session
from asman_server.rest import queues
from asman_server.tes import translation
from asman_shared import codec, dockerignore, job_url
from asman_worker.builds import archives, dockerfile, source
from tests.support.planting import planted


def plant(fault: str) -> AbstractContextManager[None]:
    """Plants a fault of `MUTANTS` for the duration of a block."""
    _, owner, attribute, make = MUTANTS[fault]
    return planted(owner, attribute, make)


def _follows_links_out(original: Any) -> Any:
    """Checks only that a link does not begin with ``..``; one may still climb out later."""

    def target(name: str, to: str) -> str:
        return str(original(name, to)) if to.startswith("..") else to

    return target


def _ends_lines_at_carriage_returns(original: Any) -> Any:
    """Takes a carriage return alone for the end of a line."""
    return lambda text: original(re.sub(r"\r(?!\n)", "\n", text))


def _question_mark_takes_slashes(original: Any) -> Any:
    """Lets a question mark stand for any character."""
    return lambda part: [each.replace("[^/]", ".") for each in original(part)]


def _drops_either_port(original: Any) -> Any:
    """Leaves out the port of https from an address of http, too."""

    def authority(scheme: str, host: str, port: int | None) -> str:
        return str(original(scheme, host, None if port in (80, 443) else port))

    return authority


def _reads_openings_again(original: Any) -> Any:
    """Looks for the end of a variable from each opening to the end of the text."""
    del original
    return re.compile(r"\$\{([^}]+)\}")


def _reads_any_ref(original: Any) -> Any:
    """Reads the reference of a broken message as a number whatever it is."""

    def ref(self: Any, raw: Any, language: Any) -> int | None:
        found = self._envelope[language].decode(raw).ref
        return None if found is None else int(found)

    del original
    return ref


def _reads_any_duration(original: Any) -> Any:
    """Reads a duration without a fall back for one that can't be read."""

    def duration(text: Any) -> int:
        if isinstance(text, str) and not text.endswith(("h", "m", "s")):
            return int(text)
        return int(original(text))

    return duration


def _reads_any_number(original: Any) -> Any:
    """Reads a number of a query before it is known to be one, if it looks about like one."""

    def number(request: Any, name: str, default: int, **bounds: int) -> int:
        text = request.query_params.get(name)
        if text is not None and text[:1] in "-+0123456789":
            int(text)
        return int(original(request, name, default, **bounds))

    return number


def _tells_none_as_null(original: Any) -> Any:
    """Tells that there are no finished jobs by a null, where the document has a number."""

    async def totals(hub: Any, name: str) -> Any:
        found = await original(hub, name)
        found.finished = found.finished or None
        return found

    return totals


def _expects_what_is_submitted(original: Any) -> Any:
    """Takes it for granted that a submission has something to submit."""

    def hear(text: bytes) -> tuple[str, Any]:
        kind, payload = original(text)
        if kind == "StateChange" and payload.state == "Queued":
            payload.value.enqueued.definition  # noqa: B018
        return kind, payload

    return hear


def _takes_any_number_of_gpus(original: Any) -> Any:
    """Reads a number of gpus without looking whether it is one."""

    def requirements(resources: Any, gpus: str | None) -> Any:
        return original(resources, None if gpus is None else str(int(gpus)))

    return requirements


MUTANTS: Final[dict[str, tuple[str, Any, str, Callable[[Any], Any]]]] = {
    "links lead out of an archive": ("archives", archives, "_target", _follows_links_out),
    "a carriage return ends a line": ("dockerfiles", dockerfile, "split", _ends_lines_at_carriage_returns),
    "a question mark takes a slash": ("ignore_rules", dockerignore, "_pieces", _question_mark_takes_slashes),
    "a port of the other scheme is left out": ("addresses", source, "_authority", _drops_either_port),
    "openings of variables are quadratic": ("job_urls", job_url, "_VARIABLE", _reads_openings_again),
    "a client's reference may be anything": ("client_messages", codec.FrameDecoder, "_ref", _reads_any_ref),
    "a worker's reference may be anything": ("worker_messages", codec.FrameDecoder, "_ref", _reads_any_ref),
    "a submission without a job ends a session": ("dialect_clients", session, "hear", _expects_what_is_submitted),
    "a duration that can't be read ends a session": (
        "dialect_workers",
        worker_session,
        "_duration",
        _reads_any_duration,
    ),
    "a number that can't be read is a 500": ("rest", queues, "number", _reads_any_number),
    "a number of gpus that can't be read is a 500": (
        "tes_tasks",
        translation,
        "_requirements",
        _takes_any_number_of_gpus,
    ),
    "no finished jobs are a null": ("openapi", queues, "totals", _tells_none_as_null),
}
"""The planted faults by description: the door, the object and attribute that each replaces, and the replacement."""
