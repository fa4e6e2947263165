"""Serves the web page that is built into this package; where it is not built, a sentence that tells how to build it."""

from __future__ import annotations

import html
import mimetypes
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from asman_shared.errors import NotFound

from ..config import HubConfig
from ..front import address_for_others, address_of, is_own_machine, sender
from .base import hub_of

FOLDER = Path(__file__).parents[1] / "page"
NONCE: Final = "ASMAN-NONCE"
"""Stands in the built page where each response has a nonce of its own (``html.cspNonce`` in ``web/vite.config.ts``)."""
SERVES_LOCAL: Final = '<meta name="asman-serves-local">'
"""Tells the page that this hub serves the queue ``local``, so that no job runs without a click on Run."""
FOR_WORKERS: Final = '<meta name="asman-for-workers" content="{}">'
"""Tells the page the hub's address for workers on other machines, where the page's own address isn't it."""
_HEAD: Final = "<head>"
_ASSETS: Final = '"./assets/'
"""Opens the addresses of the page's parts, which are relative, as a proxy may serve the hub below a path."""


def policy(nonce: str, framed_by: Sequence[str] | None) -> str:
    """Returns the content security policy of the page: no scripts run but the page's own.

    A nonce and not ``'self'`` allows them, since files of strangers are kept at the same origin. The page connects to
    the hub that its address names, whose blobs may be kept elsewhere; the blobs that it shows can load and run nothing.

    Args:
        nonce: The nonce of this response.
        framed_by: The origins, beside this one, that may embed the page; None for any.
    """
    parts = [
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob: http: https:",
        "media-src 'self' blob: http: https:",
        "frame-src 'self' http: https:",
        "connect-src 'self' ws: wss: http: https:",
        "worker-src 'none'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ]
    if framed_by is not None:
        parts.append(" ".join(["frame-ancestors", "'self'", *framed_by]))
    return "; ".join(parts)


def page_headers(nonce: str, framed_by: Sequence[str] | None) -> dict[str, str]:
    """Returns the headers of the page; for the arguments see `policy`.

    A page that was opened by another page is cut off from it, so that the other can't exchange its address later.
    """
    return {
        "Content-Security-Policy": policy(nonce, framed_by),
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _param(kind: str, label: str, description: str, default: Any = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind, "label": label, "description": description}
    return made if default is None else {**made, "default": {"value": default}}


METAFRAME: Final[dict[str, Any]] = {
    "version": "2",
    "metadata": {
        "name": "Asman",
        "description": "Runs a container: piped inputs become its input files, and its output files are piped out.",
        "authors": ["Asman"],
        "tags": ["container", "docker", "compute", "queue"],
    },
    "inputs": {
        "job": {"description": "Replaces the job's definition, with allowsetjob=true; any other input is a file."},
    },
    "outputs": {
        "job/result.json": {"description": "With allowsetjob=true: output, exit code and duration of the job."},
    },
    "allow": "clipboard-write; fullscreen; local-network-access; loopback-network",
    "hashParams": {
        "job": _param("json", "Job", "The job's definition: image or build, command, environment, requirements."),
        "inputs": _param("json", "Text files", "Text files by name, found below /inputs."),
        "queue": _param("string", "Queue", "The queue that runs it: its name on this hub, or its address."),
        "queueOverride": _param("string", "Queue of the page", "The queue that the embedding page chooses instead."),
        "ignoreQueueOverride": _param("boolean", "Keep the queue", "Whether the job keeps its own queue.", False),
        "autostart": _param("boolean", "Start by itself", "Whether it runs when it is loaded and changed.", False),
        "allowsetjob": _param("boolean", "Job by pipe", "Whether an input named job replaces the job.", False),
        "resolverefs": _param("boolean", "Whole outputs", "Whether files are piped out whole, not as refs.", False),
        "maxJobDuration": _param("string", "Time limit", "How long it may run, such as 20m."),
        "control": _param("json", "Submission", "Namespace, webhooks and time limit of its submission."),
        "debug": _param("boolean", "Debug", "Kept for other software; it changes nothing here.", False),
        "terminal": _param("boolean", "Terminal", "Kept for other software; it changes nothing here.", False),
    },
}
"""Description of the page for pages that embed it: version 2 of the metaframe definition."""

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Asman</title>
<p>This hub works, but its page was not built. Run <code>make web</code> in its source folder, or use the
command line: <code>asman --help</code>.</p></html>"""

_NOTHING = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Nothing here · Asman</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 34rem; padding: 0 1rem }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16181d; color: #e6e6e6 }} a {{ color: #8ab4f8 }} }}</style>
<h1>There is nothing at this address</h1>
<p>A queue is at <code>/q/…</code>, a job at <code>/j/…</code>. Compare the address with the one that you got.</p>
<p><a href="{up}">Start page</a> · <a href="{up}docs">Documentation</a></p></html>"""


def nothing(request: Request) -> Response:
    """Returns the page for a browser at an address where there is nothing."""
    up = "../" * (request.scope.get("raw_path", b"/").count(b"/") - 1) or "./"
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(_NOTHING.format(up=up), status_code=404, headers=headers)


def built() -> bool:
    """Returns whether this package holds the page: a clone holds it once it was built."""
    return (FOLDER / "index.html").is_file()


def page(request: Request) -> Response:
    """Returns the page; its script reads the address and shows the queue or the job.

    Any page may embed it, unless the hub serves the queue ``local``: then only those of allowed origins may.
    """
    config = hub_of(request).config
    nonce = secrets.token_urlsafe(16)
    headers = page_headers(nonce, _ancestors(config.allow_origin) if config.local_queue else None)
    try:
        text = (FOLDER / "index.html").read_text()
    except FileNotFoundError:
        return HTMLResponse(_NOT_BUILT, headers=headers)
    told = SERVES_LOCAL if config.local_queue else ""
    if hub := _for_workers(request, config):
        told += FOR_WORKERS.format(html.escape(hub))
    text = text.replace(_HEAD, _HEAD + told, 1)
    up = "../" * (request.scope.get("raw_path", b"/").count(b"/") - 1)  # an encoded slash divides nothing
    return HTMLResponse(text.replace(_ASSETS, f'"{up or "./"}assets/').replace(NONCE, nonce), headers=headers)


def _for_workers(request: Request, config: HubConfig) -> str:
    """Returns the hub's address for other machines if it is known and the visitor's may be no good there."""
    if config.public_url:
        return config.public_url.rstrip("/")
    url = request.url
    if url.scheme != "http" or not is_own_machine(url.hostname or ""):
        return ""  # the visitor's own way here; a certificate also knows no other name
    if not is_own_machine(sender(request)) or config.port not in (0, url.port):
        return ""  # a tunnel, or the port of a container: this machine's addresses are not those of the visitor's
    found = address_for_others(config.host, address_of(request, ""))
    return found if found is not None and not is_own_machine(urlsplit(found).hostname or "") else ""


def _ancestors(origins: Sequence[str]) -> list[str]:
    """Returns the origins that a policy can name: the origin ``null`` has no name in it."""
    return [origin.rstrip("/") for origin in origins if origin != "null"]


async def show(request: Request) -> Response:
    """Returns the web page, for ``GET /`` and ``GET /q/{queue}`` by a browser."""
    return page(request)


async def metaframe(_request: Request) -> Response:
    """Returns ``/metaframe.json``, which describes the page to a page that embeds it."""
    return JSONResponse(METAFRAME, headers={"Cache-Control": "public, max-age=300"})


async def asset(request: Request) -> Response:
    """Returns a part of the page, from ``/assets/{path}``; parts are named by their content, so caches keep them."""
    folder = (FOLDER / "assets").resolve()
    try:
        path = (folder / str(request.path_params["path"])).resolve()
        there = path.is_relative_to(folder) and path.is_file()
    except (OSError, ValueError):
        # The file system takes no such name: it has a NUL or a lone surrogate, or is too long.
        there = False
    if not there:
        raise NotFound("the page has no such part")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type=kind, headers=headers)
