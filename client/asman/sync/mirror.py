"""Objects that stand for objects of the async client, whose calls they run in another thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from asman import client
from asman.background import BackgroundLoop
from asman.inputs import InputValue, stand_in

A = TypeVar("A")
T = TypeVar("T")


def shown_as_html(inner: Any) -> str:
    """Returns an object of the async client as a notebook shows it."""
    shown: str = inner._repr_html_()
    return shown


class Mirror(Generic[A]):
    """An object of the async client, for use from another thread."""

    def __init__(self, inner: A, loop: BackgroundLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self._inner)

    def _repr_html_(self) -> str:
        return shown_as_html(self._inner)


class MirroredQueue(Mirror[client.Queue]):
    """The life of a queue's connection: open from the start, and closed at the end of ``with``, or of the program."""

    def __init__(self, inner: client.Queue, loop: BackgroundLoop) -> None:
        super().__init__(inner, loop)
        loop.closes(inner.close)

    def open(self) -> None:
        """Does nothing: `asman.sync.connect` has opened the connection.

        Raises:
            ConnectionFailed: The queue was closed, or the hub was away for longer than allowed.
        """
        self._loop.run(self._inner.open())

    def close(self) -> None:
        """Closes the connection and ends its thread; jobs keep running. Does nothing the second time."""
        if self._loop.ended:
            return
        try:
            self._loop.run(self._inner.close())
        finally:
            self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MirroredMapping(Mapping[str, T]):
    """A mapping whose values are mirrored when they are read.

    Args:
        inner: The mapping of the async client.
        mirrored: Makes the mirror of a value.
    """

    def __init__(self, inner: Mapping[str, Any], mirrored: Callable[[Any], T]) -> None:
        self._inner = inner
        self._mirrored = mirrored

    def __getitem__(self, name: str) -> T:
        return self._mirrored(self._inner[name])

    def __contains__(self, name: object) -> bool:
        return name in self._inner

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return repr(self._inner)

    def _repr_html_(self) -> str:
        return shown_as_html(self._inner)


@stand_in.register(Mirror)
@stand_in.register(MirroredMapping)
def _inner_as_input(value: Mirror[Any] | MirroredMapping[Any], where: str) -> InputValue:
    """An object stands for what the mirrored one stands for."""
    return stand_in(value._inner, where)
