"""Whether a hub on this machine answers."""

from __future__ import annotations

import http.client


def healthy(port: int) -> bool:
    """Tells whether ``/healthz`` answers 200 now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
