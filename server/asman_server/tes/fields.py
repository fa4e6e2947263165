"""Names the member of a task that an error is about, which was found in the definition that was made of it."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from .task import Task

_DEFINITION: Final = "definition."
_STEP: Final = re.compile(r"steps\.([0-9]+)(\..*|)")
_RESOURCES: Final = {
    "requirements.cpus": "resources.cpu_cores",
    "requirements.memory": "resources.ram_gb",
    "requirements.gpus": "resources.backend_parameters.gpus",
    "maxDuration": "resources.backend_parameters.max_duration",
    "tags": "resources.backend_parameters.worker_tags",
}
_WEBHOOK: Final = "callbacks.finished.url"
_OF_COMMAND: Final = frozenset({"image", "command", "env", "workdir", "stdin", "stdout", "stderr"})
_FILES: Final = "configFiles"


def member_of(field: str, task: Task) -> str:
    """Returns the member of a task that a field of its definition was made of; other fields as they are."""
    if not field.startswith(_DEFINITION):
        return "callback_url" if field == _WEBHOOK else field
    place = field.removeprefix(_DEFINITION)
    for theirs, ours in _RESOURCES.items():
        if place == theirs or place.startswith(f"{theirs}."):
            return ours
    if step := _STEP.fullmatch(place):
        return f"executors[{int(step[1]) + 1}]{step[2]}"
    first = place.partition(".")[0]
    if first in _OF_COMMAND:
        return f"executors[0].{place}"
    if first == "steps":
        return "executors"
    if first == _FILES:
        return _input(place.removeprefix(_FILES).removeprefix("."), task)
    return first if first in ("outputs", "volumes") else place


def _input(name: str, task: Task) -> str:
    """Returns the input at a path, which may be followed by the part of its ref."""
    for number, given in enumerate(task.inputs):
        path = posixpath.normpath(f"/{given.path.lstrip('/')}")
        if name == path:
            return f"inputs[{number}].path"
        if name.startswith(f"{path}."):
            return f"inputs[{number}].{'url' if given.url and not given.content else 'content'}"
    return "inputs"
