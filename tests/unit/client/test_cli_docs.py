"""The page about the command line is what the commands say of themselves."""

from __future__ import annotations

from scripts.cli_docs import FILE, document


def test_the_page_about_the_command_line_is_current() -> None:
    assert FILE.read_text() == document(), "run: python -m scripts.cli_docs"


def test_every_command_of_one_job_can_be_json() -> None:
    from asman.cli.schemas import SHAPES

    sections = document().split("\n## ")[2:]
    silent = {"asman hub", "asman worker", "asman schema", "asman doctor"}
    for section in sections:
        name = section.partition("\n")[0]
        assert name in silent or "`--json`" in section, name
        assert name in silent | {"asman up"} or name.removeprefix("asman ") in SHAPES, name
