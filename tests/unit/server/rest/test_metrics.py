"""What is counted of shapes and of the room for them, as metrics show it."""

from __future__ import annotations

from asman_server.core.worker import Lease, Worker
from asman_server.rest.metrics import room_for, shape_label
from asman_shared.definition import Shape
from asman_shared.messages import Register


def test_room_is_what_still_fits() -> None:
    workers = [Worker(n, Register(incarnation=f"{n:016}", name="w", cpus=4, memory=2**30, gpus=n), 0) for n in range(3)]
    assert room_for(Shape(), workers) == 12
    assert room_for(Shape(gpus=1), workers) == 3
    assert room_for(Shape(memory=2**29), workers) == 6
    workers[2].hold(Lease("j", 1, Shape(cpus=3000, gpus=1), 0))
    assert room_for(Shape(), workers) == 9
    assert room_for(Shape(gpus=1), workers) == 2
    assert room_for(Shape(tags=frozenset("x")), workers) == 0


def test_a_shape_as_a_label() -> None:
    shape = Shape(cpus=1500, gpus=2, memory=2**32, tags=frozenset({"b", "a"}), platform="linux/arm64")
    assert shape_label(shape, tags=True) == "cpus=1.5 gpus=2 memory=4 GiB tags=a,b platform=linux/arm64"
    assert shape_label(shape, tags=False) == "cpus=1.5 gpus=2 memory=4 GiB platform=linux/arm64"
    assert shape_label(Shape(), tags=True) == "cpus=1"
    assert shape_label(Shape(source="machine"), tags=True) == "cpus=1 source=machine"
