"""A real hub that speaks https by itself, with a certificate of an authority that only the test knows."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path

from devtools.asman_processes import AsmanProcesses, HubProcess
from tests.support.tls_door import make_certificates


class TlsHub(HubProcess):
    """A hub with a certificate for ``localhost`` and ``127.0.0.1``.

    Attributes:
        tls: The folder with the authority (``ca.pem``) and the hub's own files (``hub.pem``, ``hub.key``).
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.tls = folder / "tls"
        self.tls.mkdir()
        make_certificates(self.tls)
        own = ("--tls-cert", str(self.tls / "hub.pem"), "--tls-key", str(self.tls / "hub.key"))
        super().__init__(folder, *own, *arguments)
        self.trusting = ssl.create_default_context(cafile=str(self.tls / "ca.pem"))

    @property
    def url(self) -> str:
        """Returns the hub's base address."""
        return f"https://localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Returns the environment with which commands trust the authority."""
        return {"SSL_CERT_FILE": str(self.tls / "ca.pem")}

    def get(self, path: str, body: bytes | None = None) -> bytes:
        """Returns the body of an answer, to ``GET`` or, with a body, to ``POST``."""
        asked = urllib.request.Request(f"{self.url}{path}", body)
        with urllib.request.urlopen(asked, context=self.trusting, timeout=20) as answer:
            told: bytes = answer.read()
            return told

    def healthy(self) -> bool:
        """Whether ``/healthz`` answers 200 now."""
        try:
            return self.get("/healthz") == b"OK"
        except OSError:
            return False


def tls_hub(processes: AsmanProcesses, *arguments: str) -> TlsHub:
    """Starts such a hub, which ends with the test's other processes."""
    hub = TlsHub(processes.folder, *arguments)
    processes.started.append(hub)
    hub.start()
    return hub
