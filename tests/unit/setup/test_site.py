"""The documentation as a site: every link leads somewhere, nothing comes from other sites, and llms.txt lists all."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from build_tools.site import build
from build_tools.site.markdown import render, slug
from build_tools.site.sources import ROOT, SECTIONS, repository

LOADS = {"img": ("src", "srcset"), "source": ("src", "srcset"), "link": ("href",), "script": ("src",)}


class Read(HTMLParser):
    """The parts of a page that matter here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.tags.add(tag)
        if about.get("id"):
            self.ids.append(str(about["id"]))
        if tag == "a":
            self.links.append(str(about["href"]))
        self.loads += [str(about[name]) for name in LOADS.get(tag, ()) if about.get(name)]
        self.inline += [name for name in about if name == "style" or name.startswith("on")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Read]:
    return {path.relative_to(site).as_posix(): Read(path.read_text()) for path in site.rglob("*.html")}


def led(page: str, link: str) -> tuple[str, str]:
    """The file of the site that a relative link of a page leads to, and the anchor."""
    parts = urlsplit(link)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path))) if parts.path else page
    return path, unquote(parts.fragment)


def within(links: list[str]) -> Iterator[str]:
    return (link for link in links if not urlsplit(link).scheme)


def test_every_page_of_the_repository_is_there_as_html_and_as_markdown(site: Path, pages: dict[str, Read]) -> None:
    sources = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert len(sources) > 30
    for source in ["docs/index.md", *(each.replace("README.md", "index.md") for each in sources)]:
        assert (site / source).is_file()
        assert source.replace(".md", ".html") in pages
    assert set(SECTIONS) and all((ROOT / source).is_file() for about in SECTIONS.values() for source in about)


def test_every_link_between_pages_and_every_anchor_leads_somewhere(site: Path, pages: dict[str, Read]) -> None:
    broken = []
    anchors = 0
    for page, read in pages.items():
        assert len(read.ids) == len(set(read.ids)), page
        for link in within(read.links + read.loads):
            path, anchor = led(page, link)
            anchors += bool(anchor)
            if not (site / path).is_file() or (anchor and anchor not in pages[path].ids):
                broken.append((page, link))
    assert broken == []
    assert anchors > 200
    for file in site.rglob("*.md"):
        place = file.relative_to(site).as_posix()
        text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", file.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in within(re.findall(r"\]\(([^)\s]+)\)", text)):
            assert (site / led(place, link)[0]).is_file(), (place, link)


def test_links_to_other_files_of_the_repository_lead_to_files_that_it_has(pages: dict[str, Read]) -> None:
    prefix = f"{repository()}/blob/main/"
    found = {link.removeprefix(prefix) for read in pages.values() for link in read.links if link.startswith(prefix)}
    assert "CONTRIBUTING.md" in found
    assert [path for path in found if not (ROOT / path.partition("#")[0]).exists()] == []


def test_a_page_loads_nothing_from_elsewhere_and_runs_nothing(pages: dict[str, Read]) -> None:
    for page, read in pages.items():
        assert list(within(read.loads)) == read.loads, page
        assert read.inline == [], page
        assert read.tags.isdisjoint({"script", "style", "iframe", "object", "form", "base"}), page
    css = "".join(path.read_text() for path in (ROOT / "build_tools/site").glob("*.css"))
    assert "url(" not in css
    assert "@import" not in css


def test_llms_txt_has_its_form_and_lists_every_page_once(site: Path) -> None:
    lines = (site / "llms.txt").read_text().split("\n")
    assert lines[0] == "# Asman"
    assert lines[2].startswith("> Asman runs ")
    lists = lines[lines.index("## Use") :]
    items = [line for line in lists if line and not line.startswith("## ")]
    found = [re.fullmatch(r"- \[([^]]+)\]\((docs/[\w/-]+\.md)\): (\S.{10,200}[^.])", item) for item in items]
    assert all(found), items
    listed = [match[2] for match in found if match]
    assert sorted(listed) == sorted(path.relative_to(site).as_posix() for path in site.rglob("*.md"))
    assert [line for line in lists if line.startswith("## ")][-1] == "## Optional"


def test_the_list_has_the_type_and_the_sha256_of_every_file(site: Path) -> None:
    listed = json.loads((site / "site.json").read_text())
    there = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert set(listed) == there - {"site.json"}
    for name, (kind, sha256) in listed.items():
        assert hashlib.sha256((site / name).read_bytes()).hexdigest() == sha256
        assert "/" in kind


def test_a_new_site_takes_the_place_of_an_old_one_and_of_nothing_else(tmp_path: Path) -> None:
    build(tmp_path / "site")
    (tmp_path / "site/docs/gone.html").write_text("of a page that is no more")
    build(tmp_path / "site")
    assert not (tmp_path / "site/docs/gone.html").exists()
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="holds no site"):
        build(tmp_path / "home")
    assert (tmp_path / "home/letter.txt").read_text() == "kept"


def test_a_page_without_a_place_in_the_order_comes_last_and_one_without_a_heading_is_refused(tmp_path: Path) -> None:
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docs", "web/src/style"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "docs/new.md").write_text("# New\n\n## First\n\nIt says `this`. And more.\n")
    build(tmp_path / "site", tmp_path)
    listed = (tmp_path / "site/llms.txt").read_text()
    assert "## More\n\n- [New](docs/new.md): It says this\n" in listed
    (tmp_path / "docs/new.md").write_text("no heading\n")
    with pytest.raises(ValueError, match=r"docs/new\.md has no heading"):
        build(tmp_path / "other", tmp_path)


def test_anchors_are_those_of_sites_that_show_repositories() -> None:
    taken: set[str] = set()
    assert [slug(each, taken) for each in ("Logs & files: `a_b`", "Über Jobs", "Logs", "Logs")] == [
        "logs--files-a_b",
        "über-jobs",
        "logs",
        "logs-1",
    ]


def test_code_and_cells_keep_their_text_and_get_no_inline_style() -> None:
    body = render('# T\n\n```sh\necho "<b>" && true\n```\n\n| | |\n|---|--:|\n| `a\\|b` | 1 |\n').body
    assert '<code>echo "&lt;b&gt;" &amp;&amp; true\n</code>' in body
    assert '<td class="right">1</td>' in body
    assert "<code>a|b</code>" in body
    assert "<thead>" not in body
    assert "style=" not in body
