"""Writes the site: every page as HTML and as Markdown, the pictures, the style, and llms.txt."""

from __future__ import annotations

import hashlib
import json
import posixpath
import shutil
from collections.abc import Iterable
from functools import partial
from html import escape
from pathlib import Path
from typing import Final

from .markdown import relative, render, to_page, with_links
from .sources import MORE, ROOT, SECTIONS, Page, first_paragraph, pages, repository

LIST: Final = "site.json"
"""Lists the site's files, each with its media type and its sha256. A hub serves these files and no others."""
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}


def build(folder: Path, root: Path = ROOT) -> list[str]:
    """Writes the site into a folder, in place of an earlier site there.

    Args:
        folder: Where to write; it is made if it is missing.
        root: The repository.

    Returns:
        The paths of the files.

    Raises:
        FileExistsError: The folder holds something else than a site.
    """
    files = dict(_files(root))
    if folder.exists() and any(folder.iterdir()):
        if not (folder / LIST).is_file():
            raise FileExistsError(f"{folder} is not empty and holds no site; choose another folder")
        shutil.rmtree(folder)
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    about = {name: [_TYPES[Path(name).suffix], hashlib.sha256(body).hexdigest()] for name, body in files.items()}
    (folder / LIST).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    return sorted(files)


def _files(root: Path) -> Iterable[tuple[str, bytes]]:
    """Yields every file of the site by its path, without the list."""
    found = pages(root)
    pictures = [path for path in sorted((root / "docs").rglob("*")) if path.suffix in (".png", ".svg", ".webp")]
    places = {page.source: page.place for page in found}
    places |= {path.relative_to(root).as_posix(): path.relative_to(root).as_posix() for path in pictures}
    for path in pictures:
        yield path.relative_to(root).as_posix(), path.read_bytes()
    style = root / "web/src/style"
    css = (style / "tokens.css").read_bytes() + (Path(__file__).parent / "site.css").read_bytes()
    parts = {"css": css, "svg": (style / "icon.svg").read_bytes()}
    names = {kind: f"docs/site-{hashlib.sha256(body).hexdigest()[:12]}.{kind}" for kind, body in parts.items()}
    for kind, body in parts.items():
        yield names[kind], body
    address = repository(root)
    for page in found:
        # The first page is also the site's own, one folder above the others.
        for place in (page.place, "index.md") if page.source == "README.md" else (page.place,):
            leads = partial(relative, source=page.source, at=place, places=places, repository=address)
            text = with_links(page.text, leads)
            yield to_page(place), _html(page, place, text, found, names).encode()
            if place == page.place:
                yield place, text.encode()
    yield "llms.txt", _llms(found).encode()


def _html(page: Page, place: str, text: str, found: list[Page], names: dict[str, str]) -> str:
    def to(target: str) -> str:
        return escape(posixpath.relpath(target, posixpath.dirname(place) or "."))

    rendered = render(text)
    heading, _, rest = rendered.body.partition("</h1>")
    toc = ""
    if len(rendered.headings) > 3:
        entries = "".join(f'<li><a href="#{anchor}">{escape(words)}</a></li>' for anchor, words in rendered.headings)
        toc = f'<details class="toc"><summary>On this page</summary><ul>{entries}</ul></details>'
    lists = []
    for section in (*SECTIONS, MORE):
        items = "".join(
            f'<li><a href="{to(to_page(each.place))}"{" aria-current=page" if each is page else ""}>'
            f"{escape('Overview' if each.source == 'README.md' else each.title.partition(':')[0])}</a></li>"
            for each in found
            if each.section == section
        )
        if items:
            lists.append(f"<h2>{section}</h2><ul>{items}</ul>")
    title = "Asman" if page.source == "README.md" else f"{page.title} · Asman"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<meta name="description" content="{escape(page.description)}">
<link rel="icon" type="image/svg+xml" href="{to(names["svg"])}">
<link rel="stylesheet" href="{to(names["css"])}">
<link rel="alternate" type="text/markdown" href="{to(page.place)}">
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<header><a href="{to("docs/index.html")}">Asman</a><a class="to-pages" href="#pages">All pages</a></header>
<main id="content">
{heading}</h1>
{toc}{rest}</main>
<nav id="pages" aria-label="Pages">
{"".join(lists)}
</nav>
<footer><a href="{to(page.place)}">This page as Markdown</a></footer>
</body>
</html>
"""


def _llms(found: list[Page]) -> str:
    """Returns the list of pages in the form of llms.txt: a heading, a summary, lists of links with descriptions."""
    about = (
        "Every page is Markdown; with `.html` instead of `.md` it is for browsers. "
        "`/openapi.json` of a hub describes its HTTP interface. "
        "Agents: `/skill.md` of a hub explains how to use a queue, and every queue's URL with `/mcp` is an MCP server."
    )
    made = [f"# {found[0].title}", f"> {first_paragraph(found[0].text)}", about]
    optional = [page for page in found if page.section == ""]
    for section in (*SECTIONS, MORE):
        listed = [page for page in found if page.section == section]
        if listed:
            made.append(f"## {section}\n\n" + "\n".join(_item(page) for page in listed))
    if optional:
        made.append("## Optional\n\n" + "\n".join(_item(page) for page in optional))
    return "\n\n".join(made) + "\n"


def _item(page: Page) -> str:
    return f"- [{page.title}]({page.place}): {page.description}"
