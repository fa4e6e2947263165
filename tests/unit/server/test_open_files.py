"""A process may have as many connections open as it is allowed."""

from __future__ import annotations

import resource
import subprocess
import sys

SCRIPT = """
import resource
from asman_server.open_files import raise_open_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
print(raise_open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], raise_open_files())
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(hard)] * 3
