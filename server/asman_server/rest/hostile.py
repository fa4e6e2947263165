"""Headers for files of strangers: a browser shows them, but they can't run, style or read anything of this origin."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from asman_shared.errors import Forbidden, NotFound

HOSTILE: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every such file: it is shown without scripts and without access to this origin."""
BYTES: Final = "application/octet-stream"

_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(?:\s*;[\x20-\x7e]{0,200})?", re.ASCII)
_PROGRAMS: Final = re.compile(r"script|css|wasm|xsl|importmap|speculationrules|cache-manifest", re.IGNORECASE)
"""In a media type: what a browser may load as script, style or module of a page."""
_PICTURES: Final = ("image/", "video/", "audio/")
_FRAMES: Final = ("document", "iframe", "frame", "embed", "object")
"""Values of ``Sec-Fetch-Dest`` with which a browser asks for something that it shows as a page."""


def shown_as(media_type: str) -> str:
    """Returns the media type with which a file is sent.

    Scripts and styles are sent as text, which no browser takes for a script, a style or a service worker, because the
    file is sent with ``nosniff``. What is not written like ``type/subtype`` is sent as plain bytes.
    """
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        return BYTES
    return "text/plain; charset=utf-8" if _PROGRAMS.search(media_type.partition(";")[0]) else media_type


def file_headers(media_type: str, disposition: str) -> dict[str, str]:
    """Returns the headers of a file, with its media type as `shown_as` returns it.

    Pages of other origins may embed pictures, sound and films; anything else they must fetch, as CORS allows.
    """
    pictures = media_type.lower().startswith(_PICTURES)
    return {
        **HOSTILE,
        "Content-Disposition": disposition,
        "Content-Type": shown_as(media_type),
        "Cross-Origin-Resource-Policy": "cross-origin" if pictures else "same-origin",
    }


def elsewhere(request: Request, url: str) -> Response:
    """Answers with a redirect to a file at an address that a stranger has named.

    A browser that would show it as a page gets a link instead: nobody who follows a link to this hub ends at another
    site unnoticed. A page of this hub that loads it, as a picture or by a script, is refused: the address may be one
    that only its viewer can reach. An address that begins with a slash is on this hub.

    Raises:
        NotFound: The address is not one of http or https.
        Forbidden: A page of this hub loads a file from another host.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise NotFound("this file is kept at an address that can't be read") from None
    here = url.startswith("/") and not url.startswith("//") and "\\" not in url
    of_web = parts.scheme in ("http", "https") and parts.netloc != ""
    if not url.isprintable() or not (here or of_web):
        raise NotFound("this file is kept at an address that can't be fetched: it is not one of http or https")
    if here or parts.netloc == request.headers.get("host"):
        return RedirectResponse(url, status_code=302)
    if not _shows_pages(request):
        if request.headers.get("sec-fetch-site") == "same-origin":
            raise Forbidden(
                f"this file is not kept on the hub, but at '{parts.netloc[:200]}', an address that a stranger chose. "
                "No page of the hub loads it; follow its link instead"
            )
        return RedirectResponse(url, status_code=302)
    return HTMLResponse(_LEAVING.format(url=_escaped(url), host=_escaped(parts.netloc)), headers=HOSTILE)


def _shows_pages(request: Request) -> bool:
    """Whether a browser will show the answer as a page. To a hub without TLS it sends no ``Sec-Fetch-Dest``."""
    dest = request.headers.get("sec-fetch-dest")
    return dest in _FRAMES if dest is not None else "text/html" in request.headers.get("accept", "")


_LEAVING: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Asman</title>
<p>This file is not kept here, but at <b>{host}</b>: <a rel="noreferrer" href="{url}">{url}</a></p></html>"""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
