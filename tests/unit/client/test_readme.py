"""The README's commands give the job ids that stand below them, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from asman_shared import identity
from asman_shared.definition import DataRef, Definition

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """Each ``asman run`` of the page, with the id in the line below it."""
    found = []
    for block in _CONSOLE.findall(README):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if command.startswith("asman run"):
                (job,) = re.findall(r"/j/([0-9a-f]{64})~…$", output, re.MULTILINE)
                found.append((command, job))
    return found


def defined(command: str) -> Definition:
    """The definition that a command line stands for; it has no options but these."""
    files = dict(re.findall(r"^\$ printf '([^']*)' > (\S+)$", README, re.MULTILINE))
    contents = {name: text for text, name in files.items()}
    words = shlex.split(command)
    options, job = words[2 : words.index("--")], words[words.index("--") + 1 :]
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given.keys() <= {"-i", "-f", "-o"}, command
    inputs = {given["-f"]: DataRef(contents[given["-f"]], "utf8")} if "-f" in given else None
    return Definition(image=given["-i"], command=job, inputs=inputs)


def test_the_readme_shows_jobs() -> None:
    assert len(shown()) >= 3
    assert len({job for _, job in shown()}) == len({command for command, _ in shown()})


@pytest.mark.parametrize(("command", "job"), shown())
def test_an_id_in_the_readme_is_the_id_of_the_command_above_it(command: str, job: str) -> None:
    assert identity.job_id(defined(command)) == job


PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")], key=lambda each: str(each)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
