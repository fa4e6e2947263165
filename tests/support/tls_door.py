"""A door with TLS before a port of this machine, with a certificate of an authority that only the test knows."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.streams import join


class TlsDoor(NamedTuple):
    """A running door.

    Attributes:
        port: The port on which it listens, at ``127.0.0.1`` as ``localhost``.
        authority: The certificate of its authority.
    """

    port: int
    authority: Path


def _openssl(*words: str, folder: Path) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


_NEW = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-batch", "-keyout")


def make_certificates(folder: Path) -> None:
    """Makes an authority (``ca.pem``) and a certificate for localhost (``hub.pem``, ``hub.key``)."""
    _openssl(*_NEW, "ca.key", "-x509", "-days", "2", "-subj", "/CN=test authority", "-out", "ca.pem", folder=folder)
    make_certificate(folder, "hub", 2)


def make_certificate(folder: Path, name: str, days: int) -> None:
    """Makes a certificate for localhost (``NAME.pem``, ``NAME.key``) by the authority in a folder."""
    _openssl(*_NEW, f"{name}.key", "-subj", "/CN=localhost", "-out", f"{name}.csr", folder=folder)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    asked = ("x509", "-req", "-days", str(days), "-in", f"{name}.csr", "-extfile", "names", "-out", f"{name}.pem")
    _openssl(*asked, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", folder=folder)


@asynccontextmanager
async def tls_door(leads_to: int, folder: Path) -> AsyncIterator[TlsDoor]:
    """Runs a door while the block lasts; its certificates are made in a folder."""
    await asyncio.to_thread(make_certificates, folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "hub.pem", folder / "hub.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, to = await asyncio.open_connection("127.0.0.1", leads_to)
            await join(reader, writer, theirs, to)
        except OSError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield TlsDoor(server.sockets[0].getsockname()[1], folder / "ca.pem")
    finally:
        server.close()
