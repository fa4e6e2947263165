"""Real proxies before a hub, which run the files of ``deploy/`` with other ports, paths and names."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools.patience import PATIENCE
from devtools.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KINDS = ("nginx", "caddy", "traefik")
PREFIX = "/asman"
_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/asman.conf;
}}
"""
"""The rest of nginx's configuration, in the place of Debian's own."""


@dataclass(frozen=True)
class RealProxy:
    """A running proxy.

    Attributes:
        kind: One of `KINDS`.
        port: The port of 127.0.0.1 on which it listens, as ``localhost``.
        prefix: The path below which the hub is.
    """

    kind: str
    port: int
    prefix: str

    @property
    def url(self) -> str:
        """Returns the hub's address as the proxy's clients know it."""
        return f"https://localhost:{self.port}{self.prefix}"


def changed(file: Path, changes: Mapping[str, str]) -> str:
    """Returns a file's text with changes, each of which must have its place."""
    text = file.read_text()
    for old, new in changes.items():
        assert old in text, f"{file.name} has no '{old}' to change"
        text = text.replace(old, new)
    return text


def _written(kind: str, folder: Path, port: int, changes: Mapping[str, str], more: Mapping[str, str]) -> list[str]:
    """Writes the files of a proxy into a folder; returns its command."""
    if kind == "nginx":
        text = changed(DEPLOY / "nginx/asman.conf", {**changes, "listen 443 ": f"listen 127.0.0.1:{port} ", **more})
        (folder / "asman.conf").write_text(text)
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
        return [_found("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    if kind == "caddy":
        site = {"\nhub.example.org {": f"\nlocalhost:{port} {{\n\tbind 127.0.0.1"}
        own = {"admin localhost:2019": "admin off\n\tauto_https disable_redirects\n\tpersist_config off"}
        plain = {old: new for old, new in changes.items() if old != "server_name hub.example.org"}
        (folder / "Caddyfile").write_text(changed(DEPLOY / "caddy/Caddyfile", {**site, **own, **plain, **more}))
        return [_found("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    own = {'":443"': f'"127.0.0.1:{port}"', "/etc/traefik/": f"{folder}/"}
    (folder / "traefik.yml").write_text(changed(DEPLOY / "traefik/traefik.yml", own))
    (folder / "asman.yml").write_text(changed(DEPLOY / "traefik/asman.yml", {**changes, **more}))
    return [_found("traefik"), f"--configFile={folder / 'traefik.yml'}"]


def _found(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert found, f"{name} is not installed; make setup installs it"
    return found


def _wait(proxy: RealProxy, running: subprocess.Popen[bytes], folder: Path, trusting: ssl.SSLContext) -> None:
    """Waits until the hub answers through a proxy."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{proxy.url}/healthz", context=trusting, timeout=5).close()
            return
        logs = [each for each in (folder / "output", folder / "error.log") if each.exists()]
        said = "".join(each.read_text(errors="replace")[-2000:] for each in logs)
        assert running.poll() is None, f"{proxy.kind} has ended: {said}"
        assert time.monotonic() < deadline, f"the hub does not answer through {proxy.kind}: {said}"
        time.sleep(0.05)


@contextmanager
def real_proxy(
    kind: str, folder: Path, hub_port: int, tls: Path, *, more: Mapping[str, str] | None = None, prefix: str = PREFIX
) -> Iterator[RealProxy]:
    """Runs a proxy before a hub while the block lasts.

    Args:
        kind: One of `KINDS`.
        folder: An empty folder for its files.
        hub_port: The hub's port.
        tls: The folder with a certificate for localhost (``hub.pem``, ``hub.key``).
        more: Further changes of its file.
        prefix: The path that is left when these are made.
    """
    port = free_port()
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{hub_port}",
        "/etc/ssl/asman/tls.pem": str(tls / "hub.pem"),
        "/etc/ssl/asman/tls.key": str(tls / "hub.key"),
    }
    if kind == "traefik":
        changes["Host(`hub.example.org`)"] = "Host(`localhost`)"
    if kind == "nginx":
        changes["server_name hub.example.org"] = "server_name localhost"
    command = _written(kind, folder, port, changes, more or {})
    folder.chmod(0o755)  # nginx's own processes are of another user
    with (folder / "output").open("wb") as output:
        environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder
        )
    try:
        proxy = RealProxy(kind, port, prefix)
        _wait(proxy, running, folder, ssl.create_default_context(cafile=str(tls / "ca.pem")))
        yield proxy
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(20)
