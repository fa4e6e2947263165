"""Serves the documentation that is built into this package (`build_tools.site`), and ``/llms.txt``, which lists it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from asman_shared.errors import NotFound

FOLDER = Path(__file__).parents[1] / "site"
_LIST: Final = "site.json"
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Stricter than that of the page: the documentation has no scripts and loads its own style and pictures alone."""
_NAMED_BY_CONTENT: Final = "public, max-age=31536000, immutable"
_CHANGES: Final = "public, max-age=300"


async def llms(request: Request) -> Response:
    """Returns ``/llms.txt``: the pages of the documentation with their descriptions, for programs that read it."""
    return _answer(request, "llms.txt")


async def front(request: Request) -> Response:
    """Returns the first page of the documentation, for ``GET /docs``."""
    return _answer(request, "index.html")


async def page(request: Request) -> Response:
    """Returns a page or picture of the documentation, for ``GET /docs/{path}``.

    ``worker`` and ``worker.html`` are the page, ``worker.md`` is its Markdown.
    """
    path = f"docs/{request.path_params['path']}"
    return _answer(request, *([f"{path}index.html"] if path.endswith("/") else [path, f"{path}.html"]))


def _answer(request: Request, *names: str) -> Response:
    """Returns the first of these files that the site lists: nothing else in the folder, or out of it, is served.

    Raises:
        NotFound: The site has none of them, or it was not built.
    """
    try:
        listed = msgspec.json.decode((FOLDER / _LIST).read_bytes(), type=dict[str, tuple[str, str]])
    except FileNotFoundError:
        raise NotFound("this hub was installed without its documentation; make site builds it in a clone") from None
    name = next((each for each in names if each in listed), None)
    if name is None:
        raise NotFound("the documentation has no such page; /docs shows all of them")
    kind, sha256 = listed[name]
    tag = f'"{sha256}"'
    headers = {
        "ETag": tag,
        "Cache-Control": _NAMED_BY_CONTENT if name.startswith("docs/site-") else _CHANGES,
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if tag in (each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return FileResponse(FOLDER / name, media_type=kind, headers=headers)
