"""The page about the command line matches the help of the commands."""

from __future__ import annotations

from scripts.cli_docs import FILE, document


def test_the_page_about_the_command_line_is_current() -> None:
    assert FILE.read_text() == document(), "run: python -m scripts.cli_docs"


def test_every_command_can_be_json_and_has_a_schema_of_it() -> None:
    from asman.cli.json_schemas import SHAPES

    sections = document().split("\n## ")[2:]
    for section in sections:
        name = section.partition("\n")[0]
        if name == "asman schema":
            continue  # it writes nothing else
        assert "`--json`" in section, name
        assert name.removeprefix("asman ") in SHAPES, name
    assert len(SHAPES) == len(sections) - 1
