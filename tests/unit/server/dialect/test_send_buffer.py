"""What waits for a slow reader of the dialect is bounded."""

from __future__ import annotations

from collections.abc import Callable

from asman_server.delivery.send_buffer import BOUND
from asman_server.dialect.send_buffer import TextSendBuffer


class Writer:
    """A socket whose room a test gives and takes."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self.open = True
        self.room = True
        self.written: list[bytes] = []

    @property
    def direct(self) -> Callable[[bytes], object]:
        return self.write

    def write(self, frame: bytes) -> bool:
        self.written.append(frame)
        return True


def made() -> tuple[Writer, TextSendBuffer, list[str]]:
    writer, said = Writer(), list[str]()
    return writer, TextSendBuffer(writer, lambda: said.append("too slow"), lambda: said.append("level")), said


def test_frames_leave_at_once_while_there_is_room_and_in_order_when_there_is_again() -> None:
    writer, send_buffer, said = made()
    send_buffer.push(b"1")
    writer.room = False
    send_buffer.push(b"2")
    assert send_buffer.congested
    writer.room = True
    assert send_buffer.congested, "what waits goes first"
    send_buffer.push(b"3")
    writer.on_drain()
    assert writer.written == [b"1", b"2", b"3"]
    assert said == ["level"]
    assert send_buffer.written == 3


def test_a_reader_that_does_not_read_is_given_up_at_the_bound() -> None:
    writer, send_buffer, said = made()
    writer.room = False
    frame = b"x" * (BOUND // 4)
    for _ in range(4):
        send_buffer.push(frame)
    assert said == []
    send_buffer.push(b"x")
    assert said == ["too slow"]
    send_buffer.push(b"more")
    writer.room = True
    writer.on_drain()
    assert writer.written == []
    assert said == ["too slow"]


def test_one_frame_that_is_larger_than_the_bound_is_not_the_readers_fault() -> None:
    writer, send_buffer, said = made()
    writer.room = False
    send_buffer.push(b"x" * (BOUND + 1))
    writer.room = True
    writer.on_drain()
    assert (len(writer.written), said) == (1, ["level"])


def test_nothing_is_written_to_a_socket_that_has_closed() -> None:
    writer, send_buffer, said = made()
    writer.open = False
    send_buffer.push(b"1")
    assert (writer.written, said) == ([], [])
