"""Finds names of package registries in the repository: a clone works with whatever registries its machine uses.

The names are those that this machine's own package managers use and have built in; none is written here.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
_URL = re.compile(r"https?://[^\s'\"\],]+")
_APT = ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources")
_SECONDS = 60


def main() -> int:
    """Prints each line that names a registry; returns 1 if there is one."""
    found = mentions(ROOT, hosts(_settings()))
    sys.stdout.write(found)
    return 1 if found else 0


def hosts(texts: Iterable[str]) -> list[str]:
    """Returns the host names in the addresses of some texts, without those of this machine and plain addresses."""
    found = set()
    for text in texts:
        for url in _URL.findall(text):
            host = urlsplit(url).hostname or ""
            if "." in host and not _is_number(host):
                found.add(host)
    return sorted(found)


def mentions(folder: Path, names: Iterable[str]) -> str:
    """Returns the lines of a folder's files that have one of the names, as git writes them; ignored files aside."""
    words = [word for name in names for word in ("-e", name)]
    if not words:
        return ""
    command = ["git", "grep", "--untracked", "-nIFi", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    if done.returncode > 1:
        raise OSError(done.stderr.strip())
    return done.stdout


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _settings() -> Iterator[str]:
    """Yields what pip, npm and apt say of their registries."""
    built_in = (
        "from pip._internal.models.index import PyPI as p; print(f'https://{p.netloc} https://{p.file_storage_domain}')"
    )
    commands = [[sys.executable, "-c", built_in], [sys.executable, "-m", "pip", "config", "list"]]
    if npm := shutil.which("npm"):
        commands += [[npm, "config", "get", "registry"], [npm, "config", "get", "registry", "--userconfig=/dev/null"]]
    for command in commands:
        yield subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout  # noqa: S603
    for pattern in _APT:
        for file in Path("/etc/apt").glob(pattern):
            yield file.read_text(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
