"""The Python client of Asman: submit jobs to a queue, follow them, and read their results.

.. code-block:: python

    import asman

    async with asman.connect("https://hub.example/q/my-queue") as queue:
        job = await queue.submit(image="alpine", command="echo hello")
        async for line in job.logs():
            print(line.text)
        result = await job.result()

`asman.sync.connect` is the same without ``await``. Each name is imported at first use, so that ``import asman`` stays
cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asman_shared.definition import Build, DataRef, Definition
    from asman_shared.errors import (
        AsmanError,
        BadDefinition,
        BadRequest,
        BadUnit,
        Conflict,
        ConnectionFailed,
        Forbidden,
        NotFound,
        Overloaded,
        ProtocolError,
        TimedOut,
        TooLarge,
        Unauthentic,
        Unavailable,
    )
    from asman_shared.messages import JobState, Verdict, WorkerState
    from asman_shared.states import Phase, Reason, State
    from asman_shared.version import __version__ as __version__

    from . import sync
    from .address import Address, new_queue_name
    from .calls import CallFailed
    from .client import Queue, connect
    from .display import Table, progress, table
    from .errors import JobFailed
    from .executor import Executor, Future
    from .inputs import blob, url
    from .job import Job
    from .logs import Line
    from .outputs import JobResult, Output

_HOMES: Final = {
    "asman_shared.definition": ("Build", "DataRef", "Definition"),
    "asman_shared.errors": (
        "AsmanError",
        "BadDefinition",
        "BadRequest",
        "BadUnit",
        "Conflict",
        "ConnectionFailed",
        "Forbidden",
        "NotFound",
        "Overloaded",
        "ProtocolError",
        "TimedOut",
        "TooLarge",
        "Unauthentic",
        "Unavailable",
    ),
    "asman_shared.messages": ("JobState", "Verdict", "WorkerState"),
    "asman_shared.states": ("Phase", "Reason", "State"),
    "asman_shared.version": ("__version__",),
    "asman.address": ("Address", "new_queue_name"),
    "asman.calls": ("CallFailed",),
    "asman.display": ("Table", "progress", "table"),
    "asman.client": ("Queue", "connect"),
    "asman.executor": ("Executor", "Future"),
    "asman.errors": ("JobFailed",),
    "asman.inputs": ("blob", "url"),
    "asman.job": ("Job",),
    "asman.logs": ("Line",),
    "asman.outputs": ("JobResult", "Output"),
}
"""Public names by the module that defines them."""
_HOME: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "sync":
        return import_module("asman.sync")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'asman' has no attribute '{name}'")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__", "__doc__", "__all__"})


__all__ = [
    "Address",
    "AsmanError",
    "BadDefinition",
    "BadRequest",
    "BadUnit",
    "Build",
    "CallFailed",
    "Conflict",
    "ConnectionFailed",
    "DataRef",
    "Definition",
    "Executor",
    "Forbidden",
    "Future",
    "Job",
    "JobFailed",
    "JobResult",
    "JobState",
    "Line",
    "NotFound",
    "Output",
    "Overloaded",
    "Phase",
    "ProtocolError",
    "Queue",
    "Reason",
    "State",
    "Table",
    "TimedOut",
    "TooLarge",
    "Unauthentic",
    "Unavailable",
    "Verdict",
    "WorkerState",
    "blob",
    "connect",
    "new_queue_name",
    "progress",
    "sync",
    "table",
    "url",
]
