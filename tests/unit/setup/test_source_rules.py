"""The rules for docstrings, modules and folders are checked, and the checks find what they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.source_rules import MOST_LINES, MOST_MODULES, ROOT, docstring_faults, faults


@pytest.mark.parametrize("word", ["What", "Who", "Which", "How", "Where", "Whom", "Whose"])
@pytest.mark.parametrize(
    "source",
    [
        '"""{} is here."""\n',
        'class A:\n    """{} is here."""\n',
        'def a() -> None:\n    """{} is here."""\n',
        'async def a() -> None:\n    """{} is here."""\n',
        'A = 1\n"""{} is here."""\n',
    ],
)
def test_a_text_that_opens_with_a_question_word_is_found(word: str, source: str) -> None:
    ((_, why),) = docstring_faults(source.format(word))
    assert f"'{word}'" in why


def test_a_class_that_points_to_its_module_is_found() -> None:
    assert [
        line for line, _ in docstring_faults('class A:\n    """See the module.\n\n    Args:\n        b: c.\n    """')
    ] == [2]


def test_plain_texts_are_left_alone() -> None:
    assert (
        docstring_faults('"""The queue."""\n\n\ndef whole() -> None:\n    """Whether it is whole; see `What`."""\n')
        == []
    )


def test_a_long_module_and_a_wide_folder_are_found(tmp_path: Path) -> None:
    room = tmp_path / "shared" / "asman_shared"
    room.mkdir(parents=True)
    for number in range(MOST_MODULES):
        (room / f"m{number}.py").write_text("\n" * MOST_LINES)
    assert faults(tmp_path) == []
    (room / "one_more.py").write_text("\n" * (MOST_LINES + 1))
    assert faults(tmp_path) == [
        f"shared/asman_shared/one_more.py: {MOST_LINES + 1} lines; a module has at most {MOST_LINES}",
        f"shared/asman_shared: {MOST_MODULES + 1} modules; a folder has at most {MOST_MODULES}",
    ]


def test_our_own_sources_keep_the_rules() -> None:
    assert faults(ROOT) == []
