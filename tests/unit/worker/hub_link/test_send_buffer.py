"""The order in which things leave."""

from __future__ import annotations

from asman_shared import limits
from asman_shared.codec import WORKER_FRAMES, Broken
from asman_shared.encoded import Language
from asman_shared.messages import (
    Finished,
    LogBatch,
    LogLine,
    Message,
    Outcome,
    PhaseReport,
    Ping,
    Released,
)
from asman_shared.states import Phase
from asman_worker.hub_link.send_buffer import SendBuffer
from devtools.fake_hub import job

A, B = (job("a"), 1), (job("b"), 1)


class Lines:
    def __init__(self, *batches: int) -> None:
        self.batches = list(batches)

    def take(self) -> list[LogLine]:
        if not self.batches:
            return []
        return [LogLine(number, 0, 1, "x" * 100) for number in range(self.batches.pop(0))]


def opened() -> SendBuffer:
    send_buffer = SendBuffer()
    send_buffer.open()
    return send_buffer


def sent(send_buffer: SendBuffer) -> list[list[Message]]:
    frames: list[list[Message]] = []
    for data in send_buffer.frames():
        assert len(data) <= limits.FRAME_BYTES
        messages: list[Message] = []
        for message in WORKER_FRAMES.decode(data, Language.MSGPACK):
            assert not isinstance(message, Broken)
            messages.append(message)
        frames.append(messages)
    return frames


def test_what_is_put_in_together_leaves_in_one_frame() -> None:
    send_buffer = opened()
    for number in range(500):
        send_buffer.put(Released(job(str(number)), 1))
    (frame,) = sent(send_buffer)
    assert len(frame) == 500
    assert not send_buffer


def test_phases_of_an_attempt_coalesce_to_the_newest() -> None:
    send_buffer = opened()
    send_buffer.put(PhaseReport(*A, Phase.STAGING))
    send_buffer.put(PhaseReport(*B, Phase.STAGING))
    send_buffer.put(PhaseReport(*A, Phase.RUNNING))
    assert sent(send_buffer) == [[PhaseReport(*A, Phase.RUNNING), PhaseReport(*B, Phase.STAGING)]]


def test_the_last_lines_leave_before_the_result() -> None:
    send_buffer = opened()
    send_buffer.put(Finished(*A, Outcome("exited", 0)))
    send_buffer.put_lines(A, Lines(1000, 1000, 3))
    send_buffer.put(Ping())
    messages = [message for frame in sent(send_buffer) for message in frame]
    assert [type(message) for message in messages] == [LogBatch, LogBatch, LogBatch, Finished, Ping]


def test_a_flood_of_one_attempt_does_not_hold_up_another() -> None:
    send_buffer = opened()
    send_buffer.put_lines(A, Lines(*[1000] * 50))
    send_buffer.put_lines(B, Lines(1))
    messages = [message for frame in sent(send_buffer) for message in frame]
    assert [message.job for message in messages if isinstance(message, LogBatch)].index(B[0]) == 1


def test_frames_stay_within_the_protocols_bounds() -> None:
    send_buffer = opened()
    for number in range(50):
        send_buffer.put(Finished(job(str(number)), 1, Outcome("error", message="x" * 60_000)))
    for number in range(25_000):
        send_buffer.put(Released(job(str(number)), 1))
    frames = sent(send_buffer)
    assert max(len(frame) for frame in frames) <= limits.FRAME_MESSAGES
    assert sum(len(frame) for frame in frames) == 25_050


def test_what_comes_between_two_frames_is_taken_too() -> None:
    send_buffer = opened()
    for number in range(5000):
        send_buffer.put(Released(job(str(number)), 1))
    frames = send_buffer.frames()
    next(frames)
    send_buffer.put(Ping())
    rest = b"".join(frames)
    assert b"ping" in rest


def test_nothing_is_kept_for_a_connection_that_is_not_there() -> None:
    send_buffer = SendBuffer()
    send_buffer.put(Ping())
    send_buffer.put_lines(A, Lines(1))
    assert not send_buffer
    send_buffer.open()
    send_buffer.put(Ping())
    send_buffer.close()
    assert not send_buffer


def test_a_forgotten_attempt_leaves_no_phase_and_no_lines() -> None:
    send_buffer = opened()
    send_buffer.put(PhaseReport(*A, Phase.RUNNING))
    send_buffer.put_lines(A, Lines(5))
    send_buffer.drop(A)
    assert sent(send_buffer) == []
