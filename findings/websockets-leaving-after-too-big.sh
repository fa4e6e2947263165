#!/usr/bin/env bash
# Leaving `async with connect(...)` raises AttributeError after a server has refused a large message as too big.
#
# websockets 17.4 at both ends, asyncio, Python 3.11.
# Expected: send or recv raises ConnectionClosedError with 1009, and the block is left without another error.
# Seen: for a message that is still in the client's buffer when the server closes, recv raises as it should, and then the
# end of the block raises AttributeError ('NoneType' object has no attribute 'call_soon'): the connection is aborted that
# is lost already. A small message, which is sent at once, is left without an error. The threaded client of the same
# version is not affected.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install -q 'websockets==17.4'
cat >look.py <<'EOF'
import asyncio
import logging

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

logging.getLogger("websockets.server").disabled = True


async def hear(socket):
    async for _ in socket:
        pass


async def refused(size: int) -> tuple[str, str]:
    """Sends a message above the server's limit; returns the errors inside and at the end of the block."""
    inside = leaving = "nothing"
    async with serve(hear, "127.0.0.1", 0, max_size=1000, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            async with connect(f"ws://127.0.0.1:{port}/", compression=None) as socket:
                try:
                    await socket.send("x" * size)
                    await socket.recv()
                except Exception as error:
                    inside = type(error).__name__
        except Exception as error:
            leaving = type(error).__name__
    return inside, leaving


for size in (2000, 64_000_000):
    print(f"{size} characters: inside {'%s, leaving %s' % asyncio.run(refused(size))}")
EOF
env/bin/python look.py 2>/dev/null | tee seen.txt
diff seen.txt - <<'EOF'
2000 characters: inside ConnectionClosedError, leaving nothing
64000000 characters: inside ConnectionClosedError, leaving AttributeError
EOF
echo "as described"
