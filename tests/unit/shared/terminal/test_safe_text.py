"""Text of other people never steers a terminal; a log keeps its colours."""

from __future__ import annotations

import json

import pytest

from asman_shared.terminal import safe_text

DIRECTIONS = [chr(code) for code in [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]]
CONTROLS = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]] + DIRECTIONS


@pytest.mark.parametrize("control", CONTROLS)
def test_a_word_is_one_line_without_any_control_character(control: str) -> None:
    shown = safe_text.word(f"a{control}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


@pytest.mark.parametrize("mark", DIRECTIONS)
def test_no_mark_makes_a_text_look_like_another(mark: str) -> None:
    assert safe_text.word(f"a{mark}b") == safe_text.sentence(f"a{mark}b") == f"a\\u{ord(mark):04x}b"


def test_a_sentence_keeps_its_lines_and_tabs() -> None:
    assert safe_text.sentence("one\n\ttwo \x1b[2J\x9b2J\rü🙂") == "one\n\ttwo \\x1b[2J\\x9b2J\\rü🙂"


@pytest.mark.parametrize("control", CONTROLS)
def test_json_says_the_same_and_steers_nothing(control: str) -> None:
    shown = safe_text.json(json.dumps({"a": f"x{control}ü"}, ensure_ascii=False))
    assert json.loads(shown) == {"a": f"x{control}ü"}
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mdeep\x1b[m", "\x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mdeep\x1b[m"),
        ("50 %\r", "50 %\r"),
        ("a\tb", "a\tb"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;AAAA\x1b\\text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ends", ""),
        ("\x1bPq#0\x1b\\text\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\", "text"),
        ("\x9d0;title\x9ctext\x9b2Jmore", "textmore"),
        ("\x1b[2J\x1b[H\x1b[6n\x1b[?1049h\x1b[>4;2mtext", "text"),
        ("\x1bc\x1b7\x1b(0\x1b#8text\x1b", "text"),
        ("\x1b[12", ""),
        ("a\x00b\x07c\x08d\x7fe\x85f", "abcdef"),
        ("plain ü 日本 🙂", "plain ü 日本 🙂"),
    ],
)
def test_a_line_of_a_log_keeps_colour_and_carriage_returns_alone(line: str, shown: str) -> None:
    assert safe_text.log_line(line) == shown
