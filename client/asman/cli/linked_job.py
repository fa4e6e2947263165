"""One job as its URL with a key shows it, to who has that URL and not its queue."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from .job_facts import Fact, definition_facts, listed_facts, local_time

if TYPE_CHECKING:
    from asman_shared.definition import Definition

_LINK: Final = re.compile(r"(?P<hub>https?://[^?#]+)/j/(?P<job>[0-9a-f]{64})(?P<key>~[0-9a-f]{32})?/?(?P<rest>[?#].*)?")
_BLOB: Final = re.compile(r"(?:https?://[^?#]+/f/)?([0-9a-f]{64})")
_STATE_SECONDS: Final = 2.0
"""Time in which a hub tells the state of a job that has not ended, in seconds."""


def queue_in(url: str) -> str | None:
    """Returns the address of the queue that a job's URL names, as the one that ``asman run`` prints; None for none."""
    found = _LINK.fullmatch(url.strip())
    if found is None:
        return None
    # The page's parameters follow the first question mark, also inside the fragment.
    named = parse_qs((found["rest"] or "").partition("?")[2]).get("queue", [""])[0]
    if not named or named == "local":
        return None
    return named if "/" in named else f"{found['hub']}/q/{named}"


class LinkedJob:
    """A job that is read by its URL alone.

    Args:
        url: The URL, as `of` found it.
        job: The job's id.

    Attributes:
        url: The URL.
        job: The id.
        state: ``Queued``, ``Running`` or ``Finished``; empty if the hub did not tell it in time.
        ended: The result as the hub writes it, if there is one.
        reason: The reason why the job ended; empty while it has not.
        definition: The definition, or the part of it that the URL shows.
    """

    def __init__(self, url: str, job: str) -> None:
        self.url = url
        self.job = job
        self.state = ""
        self.reason = ""
        self.queued = 0
        self.ended: dict[str, Any] = {}
        self.definition: Definition | None = None

    @classmethod
    def of(cls, url: str) -> LinkedJob | None:
        """Returns the job that a text names by a URL with a key; None for any other text."""
        found = _LINK.fullmatch(url.strip())
        if found is None or found["key"] is None:
            return None
        return cls(f"{found['hub']}/j/{found['job']}{found['key']}", found["job"])

    def read(self) -> None:
        """Asks the hub.

        Raises:
            NotFound: There is no such job, or the key is not its key.
            AsmanError: The hub can't be reached.
        """
        import msgspec

        from asman_shared.definition import Definition
        from asman_shared.errors import ConnectionFailed, NotFound
        from asman_shared.states import Reason

        from .http_query import fetch, first_events

        host = urlsplit(self.url).netloc
        definition = fetch(f"{self.url}/definition.json", host).get("data")
        if definition is None:
            raise NotFound("there is no such job, or this is not its key: check the whole URL")
        self.definition = msgspec.convert(definition, Definition)
        listed = fetch(f"{self.url}/result.json", host).get("data")
        if listed is None:
            with suppress(ConnectionFailed):
                for kind, value in first_events(f"{self.url}/stream", host, 2, _STATE_SECONDS):
                    if kind == "state":
                        self.state, self.reason = str(value.get("state", "")), str(value.get("reason", ""))
            return
        self.state, self.queued, self.ended = "Finished", int(listed.get("queuedTime", 0)), dict(listed["finished"])
        self.reason = str(self.ended.get("reason", ""))
        if self.reason == Reason.SUCCESS and self.exit_code:
            self.reason = Reason.FAILED  # the dialect says so with the code alone

    @property
    def _run(self) -> dict[str, Any]:
        return self.ended.get("result") or {}

    @property
    def exit_code(self) -> int | None:
        """The exit code of the command, if it ran to its end."""
        code = self._run.get("StatusCode")
        return code if isinstance(code, int) else None

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs by name, as refs."""
        return dict(self._run.get("outputs") or {})

    def facts(self) -> Iterator[Fact]:
        """Lists how the job stands, what it runs, and what came of it."""
        from asman_shared.units import format_duration

        yield "job", self.job
        yield "url", self.url
        yield "state", self.reason or self.state or "not finished"
        if self.exit_code is not None:
            yield "exit code", str(self.exit_code)
        if said := self.ended.get("message") or self._run.get("error"):
            yield "message", str(said)
        for name, at in (("submitted", self.queued), ("finished", self.ended.get("time"))):
            if isinstance(at, int) and at:
                yield name, local_time(at)
        if isinstance(took := self._run.get("duration"), int):
            yield "took", format_duration(took)
        if worker := self.ended.get("worker"):
            yield "worker", str(worker)
        if self.definition is not None:
            yield from definition_facts(self.definition)
        yield from listed_facts("output", sorted(self.outputs))

    def value(self) -> dict[str, Any]:
        """Returns the job as `asman.cli.json_schemas.JobValue`."""
        import msgspec

        value: dict[str, Any] = {"id": self.job, "rev": 0, "state": self.state or "Queued", "url": self.url}
        if self.queued:
            value["queued"] = self.queued
        if self.ended:
            value["finished"] = self.ended.get("time", 0)
            value["worker"] = self.ended.get("worker", "")
        if self.reason:
            verdict = {"ok": self.reason == "Success", "reason": self.reason, "exit_code": self.exit_code}
            said = {"message": self.ended.get("message"), "duration": self._run.get("duration")}
            value["verdict"] = {**verdict, **{name: each for name, each in said.items() if each}}
        value["outputs"] = {
            name: {
                "size": 0,
                "sha256": _sha256(ref),
                "media_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
                "url": f"{self.url}/outputs/{quote(name)}",
            }
            for name, ref in self.outputs.items()
        }
        return {**value, "definition": msgspec.to_builtins(self.definition)}


def _sha256(ref: dict[str, Any]) -> str:
    """Returns the sha256 that a ref tells: as a blob's name, or at the end of the hub's address of it."""
    value = str(ref.get("value", ""))
    found = _BLOB.fullmatch(value) if ref.get("type") in ("key", "url") else None
    return found[1] if found is not None else ""
