"""Jobs that a command line gives as a whole: on standard input, or as a URL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asman_shared.job_url import JobUrl

    from ..client import SubmitFields

MOST_BYTES: Final = 4 * 1024 * 1024
"""Most that is read of standard input."""
LOCAL_HUB: Final = "http://localhost:8000"
_POLICY: Final = frozenset(
    {"namespace", "priority", "reuse", "timeout", "queue_timeout", "phase_timeouts", "max_attempts", "callbacks"}
)


def read_definition() -> tuple[dict[str, Any], SubmitFields]:
    """A definition from standard input, in JSON or YAML, and how it is to be submitted.

    The value is a definition, or holds one as ``definition`` beside ``namespace``, ``priority``, ``timeout``, ….

    Raises:
        BadDefinition: It can't be read.
        TooLarge: It is larger than `MOST_BYTES`.
    """
    from asman_shared.errors import BadDefinition, TooLarge

    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise TooLarge(f"a definition on standard input has at most {MOST_BYTES // 1024**2} MiB: give files by --file")
    value = parse(data)
    if not isinstance(value, dict):
        raise BadDefinition("standard input holds no object with the fields of a definition")
    if "definition" not in value:
        return value, {}
    policy: dict[str, Any] = {name: value[name] for name in value if name != "definition"}
    if unknown := policy.keys() - _POLICY:
        raise BadDefinition(f"'{min(unknown)}' is not something that stands beside a definition")
    if not isinstance(value["definition"], dict):
        raise BadDefinition("the definition is not an object", field="definition")
    return value["definition"], policy  # type: ignore[return-value] # the names were looked at, `submit` looks at the rest


def parse(data: bytes) -> Any:
    """The value in JSON or YAML.

    Raises:
        BadDefinition: It is neither.
    """
    import json

    from asman_shared.errors import BadDefinition

    try:
        return json.loads(data)
    except ValueError as error:
        if data.lstrip()[:1] in (b"{", b"["):
            raise BadDefinition(f"standard input begins like JSON and is not: {error}") from error
    import yaml

    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        sentence = " ".join(str(error).split())
        raise BadDefinition(f"standard input is neither JSON nor YAML: {sentence}") from error


def queue_of(found: JobUrl) -> str | None:
    """The queue that a job's URL names, as a command line would; None when it names none."""
    from asman_shared.job_url import LOCAL

    from ..address import is_queue_name

    if not found.queue:
        return None
    if found.queue == LOCAL:
        return f"{LOCAL_HUB}/q/{LOCAL}"
    if is_queue_name(found.queue):
        return f"{found.hub}/q/{found.queue}"
    if "/q/" in found.queue:
        return found.queue
    hub, _, name = found.queue.rstrip("/").rpartition("/")
    return f"{hub}/q/{name}"


def policy_of(found: JobUrl) -> SubmitFields:
    """How a job's URL says that it is to be submitted."""
    made: SubmitFields = {}
    if isinstance(namespace := found.control.get("namespace"), str) and namespace:
        made["namespace"] = namespace
    if isinstance(callbacks := found.control.get("callbacks"), dict):
        made["callbacks"] = callbacks
    if limit := found.max_duration or found.control.get("maxDuration"):
        made["timeout"] = str(limit)
    return made
