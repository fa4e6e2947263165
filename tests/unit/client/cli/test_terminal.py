"""Output of the commands to the two streams."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from asman.cli.terminal import OutputClosedError, Terminal, ask_yes_or_no, plain, progress, table
from asman.logs import Line


def line(seq: int, stream: Any, text: str) -> Line:
    return Line(seq, 0, stream, text, "running")


LINES = [line(0, "stdout", "out"), line(1, "stderr", "err"), line(2, "system", "[note]"), line(3, "stdout", "50%\r")]


@pytest.mark.parametrize(
    ("options", "out", "err"),
    [
        ({}, "out\n50%\r", "err\n[note]\n"),
        ({"quiet": True}, "out\n50%\r", "err\n"),
        ({"json": True}, "", "out\nerr\n[note]\n50%\r"),
    ],
)
def test_lines_of_a_log_go_to_their_streams(
    capfd: pytest.CaptureFixture[str], options: dict[str, bool], out: str, err: str
) -> None:
    Terminal(**options).logs(LINES)
    assert tuple(capfd.readouterr()) == (out, err)


def test_notes_are_for_people_and_results_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.note("a note")
    terminal.value({"a": "ü"})
    terminal.line({"b": 1})
    Terminal(quiet=True).note("unseen")
    out, err = capsys.readouterr()
    assert err == "a note\n"
    first, _, last = out.rstrip("\n").rpartition("\n")
    assert (json.loads(first), json.loads(last)) == ({"a": "ü"}, {"b": 1})


class Closed(io.TextIOBase):
    """A stream whose reader has left."""

    buffer = property(lambda self: self)

    def write(self, _: Any) -> int:
        raise BrokenPipeError


def test_a_reader_that_left_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(OutputClosedError):
        Terminal().result("x")
    with pytest.raises(OutputClosedError):
        Terminal().data(b"x")


def test_text_that_a_stream_can_not_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    plain()
    Terminal().result("é")
    assert raw.getvalue() == b"\\xe9\n"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(table(("A", "B"), [("long", "x"), ("s", "")])) == ["A     B", "long  x", "s"]
    assert list(table(("A", "B"), [])) == ["A  B"]


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("uploading", 10 * 1024 * 1024) as moved:
        moved(1024)
    assert tuple(capsys.readouterr()) == ("", "")


STEERING = "\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b[2J"


@pytest.mark.parametrize(("on_terminal", "shown"), [(True, "\x1b[31mred\x1b[0m\n"), (False, f"{STEERING}\n")])
def test_a_log_steers_no_terminal_and_reaches_a_pipe_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_terminal: bool, shown: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal)
    Terminal().logs([line(0, "stdout", STEERING)])
    assert capsys.readouterr().out == shown


def test_names_of_other_people_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.note(STEERING)
    terminal.error(STEERING)
    terminal.result(STEERING)
    terminal.value({"a": f"{STEERING}\x9b"})
    terminal.line({"a": f"{STEERING}\x9b"})
    out, err = capsys.readouterr()
    assert [each for each in out + err if not each.isprintable() and each != "\n"] == []


def test_a_command_of_several_lines_is_one_row_of_a_table() -> None:
    assert list(table(("JOB", "COMMAND"), [("1", "a\nb"), ("2", "\x1b[2Jc")])) == [
        "JOB  COMMAND",
        "1    a\\nb",
        "2    \\x1b[2Jc",
    ]


CUT = [
    Line(0, 0, "stdout", "{", "running", end=""),
    Line(1, 0, "stdout", "}", "running", end="\r\n"),
    Line(2, 0, "stdout", "ü", "running", end=""),
]


def test_a_pipe_gets_what_the_job_wrote_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", newline="\r\n"))
    Terminal().logs(CUT)
    assert raw.getvalue() == "{}\r\nü".encode()


def test_lines_that_were_picked_out_of_a_log_are_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().logs([CUT[0], CUT[2]], exact=False)
    assert capsys.readouterr().out == "{\nü\n"


def test_on_a_terminal_a_note_begins_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    terminal = Terminal()
    terminal.logs(CUT)
    terminal.note("first")
    terminal.note("second")
    assert tuple(capsys.readouterr()) == ("{}\r\nü", "\nfirst\nsecond\n")


def test_an_answer_that_is_neither_yes_nor_no_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed, default, means in (
        ("what\nN\n", True, False),
        ("quit\nye\nYES\n", False, True),
        ("\n", True, True),
        ("\n", False, False),
        ("maybe", True, True),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert ask_yes_or_no("cancel the job? ", default=default) is means
        asked = capsys.readouterr().err.count("cancel the job? ")
        assert asked == typed.count("\n") + (not typed.endswith("\n")) * 2
