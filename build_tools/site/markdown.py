"""Markdown to HTML, as the repository's pages use it: links, anchors and tables that fit the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

_LINK: Final = re.compile(r"(?<=\]\()([^)\s]+)(?=\))|(?<=\bsrc=\")([^\"]+)(?=\")|(?<=\bsrcset=\")([^\"]+)(?=\")")
_FENCE: Final = re.compile(r"^(```.*?^```\n?)", re.MULTILINE | re.DOTALL)
_ALIGNED: Final = {f"text-align:{side}": side for side in ("left", "center", "right")}


@dataclass
class Rendered:
    """A page as HTML: its body, and its headings of the second order, each with its anchor."""

    body: str
    headings: list[tuple[str, str]] = field(default_factory=list)


def with_links(text: str, change: Callable[[str], str]) -> str:
    """Returns Markdown with every link and picture outside of code changed."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(lambda m: change(m[0]), part) for part in parts)


def relative(target: str, source: str, at: str, places: dict[str, str], repository: str) -> str:
    """Returns where a link of a page leads in the site.

    Args:
        target: The link as it stands in the page.
        source: The page's path in the repository.
        at: The page's path in the site.
        places: The path in the site of each file of the repository that is there.
        repository: The address of the repository, where all other files are.
    """
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path:
        return target
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
    anchor = f"#{parts.fragment}" if parts.fragment else ""
    if file in places:
        return posixpath.relpath(places[file], posixpath.dirname(at) or ".") + anchor
    return f"{repository}/blob/main/{file}{anchor}"


def slug(heading: str, taken: set[str]) -> str:
    """Returns the anchor of a heading, by the rule of the sites that show repositories."""
    made = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
    found, count = made, 0
    while found in taken:
        count += 1
        found = f"{made}-{count}"
    taken.add(found)
    return found


def render(text: str) -> Rendered:
    """Returns a page's Markdown as HTML, with links to Markdown of the site changed to its pages."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(text)
    page = Rendered("")
    taken: set[str] = set()
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            words = _words(tokens[at + 1])
            anchor = slug(words, taken)
            token.attrSet("id", anchor)
            if token.tag == "h2":
                page.headings.append((anchor, words))
        _without_style(token)
        for each in token.children or ():
            href = each.attrGet("href") if each.type == "link_open" else None
            if isinstance(href, str):
                each.attrSet("href", to_page(href))
    page.body = parser.renderer.render(list(_readable(tokens)), parser.options, {})
    return page


def to_page(link: str) -> str:
    """Returns a link to a page instead of to its Markdown; other links stay."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or not parts.path.endswith(".md"):
        return link
    return parts._replace(path=f"{parts.path.removesuffix('.md')}.html").geturl()


def _words(heading: Token) -> str:
    return "".join(each.content for each in heading.children or () if each.type in ("text", "code_inline"))


def _without_style(token: Token) -> None:
    """Replaces the inline style of a cell by a class, as the hub's policy allows no inline styles."""
    style = token.attrs.pop("style", None)
    if isinstance(style, str):
        token.attrSet("class", _ALIGNED[style])


def _readable(tokens: list[Token]) -> Iterator[Token]:
    """Yields the tokens with what wide tables and code need on narrow screens, and without empty headings of tables."""
    hidden = False
    for at, token in enumerate(tokens):
        if token.type == "table_open":
            yield _html('<div class="wide" role="group" aria-label="Table" tabindex="0">')
        if token.type == "thead_open" and not any(cell.content for cell in _until(tokens[at:], "thead_close")):
            hidden = True
        if token.type == "th_open" and not tokens[at + 1].content:
            token.tag = tokens[at + 2].tag = "td"
        if token.type in ("fence", "code_block"):
            yield _html(f'<pre tabindex="0"><code>{_escaped(token.content)}</code></pre>\n')
        elif not hidden:
            yield token
        if token.type == "thead_close":
            hidden = False
        if token.type == "table_close":
            yield _html("</div>\n")


def _until(tokens: list[Token], kind: str) -> Iterator[Token]:
    for token in tokens:
        if token.type == kind:
            return
        yield token


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
