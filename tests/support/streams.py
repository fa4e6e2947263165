"""Passes bytes between two connections."""

from __future__ import annotations

import asyncio

_CHUNK = 64 * 1024


async def join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, theirs: asyncio.StreamReader, to: asyncio.StreamWriter
) -> None:
    """Passes all bytes on in both directions; each end is passed on, too."""
    await asyncio.gather(_pass_on(reader, to), _pass_on(theirs, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
