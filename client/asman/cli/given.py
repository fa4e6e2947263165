"""Complete jobs from a command line: on standard input, or as a URL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asman_shared.job_url import JobUrl

    from ..client import SubmitFields

MOST_BYTES: Final = 4 * 1024 * 1024
"""Maximum size of a definition on standard input, in bytes."""
LOCAL_HUB: Final = "http://localhost:8000"
"""Address of the hub that has the queue ``local``."""
_POLICY: Final = frozenset(
    {"namespace", "priority", "reuse", "timeout", "queue_timeout", "phase_timeouts", "max_attempts", "callbacks"}
)
"""Fields that an object on standard input may have beside ``definition``."""


def read_definition() -> tuple[dict[str, Any], SubmitFields]:
    """Reads a definition in JSON or YAML from standard input, with the arguments for submitting it.

    The value is a definition, or an object with ``definition`` beside ``namespace``, ``priority``, ``timeout``, ….

    Raises:
        BadDefinition: The input can't be parsed.
        TooLarge: The input is larger than `MOST_BYTES`.
    """
    from asman_shared.errors import BadDefinition, TooLarge

    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise TooLarge(f"standard input is larger than {MOST_BYTES // 1024**2} MiB: pass large inputs with --file")
    value = parse(data)
    if not isinstance(value, dict):
        raise BadDefinition("standard input must be an object with the fields of a definition")
    if "definition" not in value:
        return value, {}
    policy: dict[str, Any] = {name: value[name] for name in value if name != "definition"}
    if unknown := policy.keys() - _POLICY:
        raise BadDefinition(f"unknown field '{min(unknown)}' beside 'definition'")
    if not isinstance(value["definition"], dict):
        raise BadDefinition("the definition is not an object", field="definition")
    return value["definition"], policy  # type: ignore[return-value] # `submit` checks the values


def parse(data: bytes) -> Any:
    """Parses a value in JSON or YAML.

    Raises:
        BadDefinition: The data is neither.
    """
    import json

    from asman_shared.errors import BadDefinition

    try:
        return json.loads(data)
    except ValueError as error:
        if data.lstrip()[:1] in (b"{", b"["):
            raise BadDefinition(f"standard input is not valid JSON: {error}") from error
    import yaml

    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        sentence = " ".join(str(error).split())
        raise BadDefinition(f"standard input is neither JSON nor YAML: {sentence}") from error


def queue_of(found: JobUrl) -> str | None:
    """Finds the queue in a job's URL, in the form of a command line; None if the URL names none."""
    from urllib.parse import quote

    from asman_shared.address import trimmed
    from asman_shared.job_url import LOCAL

    queue = trimmed(found.queue)
    if not queue:
        return None
    if queue == LOCAL:
        return f"{LOCAL_HUB}/q/{LOCAL}"
    if "/" not in queue:
        return f"{found.hub}/q/{quote(queue)}"
    if "/q/" in queue:
        return queue
    hub, _, name = queue.rstrip("/").rpartition("/")
    return f"{hub}/q/{name}"


def policy_of(found: JobUrl) -> SubmitFields:
    """Reads the arguments for submitting a job from its URL."""
    made: SubmitFields = {}
    if isinstance(namespace := found.control.get("namespace"), str) and namespace:
        made["namespace"] = namespace
    if isinstance(callbacks := found.control.get("callbacks"), dict):
        made["callbacks"] = callbacks
    if limit := found.max_duration or found.control.get("maxDuration"):
        made["timeout"] = str(limit)
    return made
