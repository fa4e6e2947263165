"""A page of another origin that holds frames and pipes values between them, by the ecosystem's own `Metapage` class."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devtools.page import ROOT

_MODULE = ROOT / "web/node_modules/@metapages/metapage/dist/index.js"

_PAGE = """<!doctype html><meta charset="utf-8"><title>parent</title>
<style>iframe { width: 640px; height: 480px }</style><body><script type="module">
import { Metapage } from "/metapage.js";
const definition = DEFINITION;
const early = [...document.querySelectorAll("iframe")];
window.begin = async () => {
  window.metapage = new Metapage();
  await metapage.setDefinition(definition);
  for (const id of Object.keys(definition.metaframes)) {
    const client = metapage.getMetaframe(id);
    const there = early.find(frame => frame.name === id);
    if (there) client._iframe = there;
    else document.body.append(await client.iframe);
  }
  window.ready = true;
};
if (early.length === 0) await begin();
</script>FRAMES</body>"""


@contextmanager
def parent_page(metaframes: Mapping[str, Any], before: Collection[str] = ()) -> Iterator[str]:
    """Serves such a page for as long as the block lasts; gives its address.

    Args:
        metaframes: The frames by their names, as in a metapage's definition.
        before: The names of those that load before their parent, which then begins with ``window.begin()``.
    """
    frames = "".join(f'<iframe name="{each}" src="{escape(metaframes[each]["url"])}"></iframe>' for each in before)
    page = _PAGE.replace("DEFINITION", json.dumps({"version": "2", "metaframes": metaframes})).replace("FRAMES", frames)
    files = {"/": ("text/html", page.encode()), "/metapage.js": ("text/javascript", _MODULE.read_bytes())}
    with served(files) as address:
        yield address


@contextmanager
def served(files: Mapping[str, tuple[str, bytes]], port: int = 0) -> Iterator[str]:
    """Serves files, each a media type and its bytes by its path, for as long as the block lasts; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = files.get(self.path, ("text/html", b""))
            self.send_response(200 if body else 204)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
