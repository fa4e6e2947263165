"""The jobs that the depth scenario queues: as clients send them, each different, of four shapes."""

from __future__ import annotations

from msgspec import msgpack

from asman_server.core import events as ev
from asman_server.core.job_state import summarise
from asman_shared import identity
from asman_shared.definition import Definition, Requirements
from asman_shared.definition_check import check
from asman_shared.messages import Submit

SHAPES = (None, Requirements(memory="512MiB"), Requirements(memory="1GiB"), Requirements(max_duration="20m"))
"""One cpu each, so that each job that finishes makes room for exactly one."""

_decode = msgpack.Decoder(Submit).decode
_encode = msgpack.Encoder().encode


def definition(number: int) -> Definition:
    """A job like those of a parameter sweep."""
    return Definition(
        image="python:3.12-slim",
        command=f"python3 /inputs/simulate.py --step {number}",
        env={"STEP": str(number)},
        requirements=SHAPES[number % len(SHAPES)],
    )


def submitted(number: int) -> ev.Submitted:
    """The event that submitting a job becomes, made of objects that came over the wire as the hub's do."""
    request = _decode(_encode(Submit(ref=number, definition=definition(number))))
    shape = check(request.definition)
    return ev.Submitted(
        job=identity.job_id(request.definition),
        shape=shape,
        summary=summarise(request.definition, shape),
        reply_to=None,
        namespace=request.namespace,
        priority=request.priority,
    )
