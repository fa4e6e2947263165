"""The web page, as it was built into this package; or, where it was not, a sentence that says how."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from asman_shared.errors import NotFound

FOLDER = Path(__file__).parent / "page"

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; "
        "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Asman</title>
<p>This hub works, but its page was not built. Run <code>make web</code> in its source folder, or use the
command line: <code>asman --help</code>.</p></html>"""


def page(_request: Request) -> Response:
    """The page; its script reads the address and shows the queue or the job."""
    index = FOLDER / "index.html"
    if not index.is_file():
        return HTMLResponse(_NOT_BUILT, headers=PAGE_HEADERS)
    return FileResponse(index, media_type="text/html", headers=PAGE_HEADERS)


async def show(request: Request) -> Response:
    """``GET /`` and ``GET /q/{queue}`` by a browser."""
    return page(request)


async def asset(request: Request) -> Response:
    """``GET /assets/{path}``: the parts of the page, named by their content and so kept for ever."""
    folder = (FOLDER / "assets").resolve()
    path = (folder / str(request.path_params["path"])).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise NotFound("the page has no such part")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type=kind, headers=headers)
