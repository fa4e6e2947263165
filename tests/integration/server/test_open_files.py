"""A hub that may open no more files lets newcomers go and keeps on serving."""

from __future__ import annotations

import resource
import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE

ROOM = 10


def test_at_its_limit_newcomers_are_closed_and_when_others_have_gone_it_goes_on(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path)
    hub.start()
    try:
        allowed = psutil.Process(hub.pid).num_fds() + ROOM
        resource.prlimit(hub.pid, resource.RLIMIT_NOFILE, (allowed, allowed))
        with ExitStack() as stack:
            dialled = [stack.enter_context(socket.create_connection(("127.0.0.1", hub.port))) for _ in range(2 * ROOM)]
            closed, _, _ = select.select(dialled, [], [], PATIENCE)
            assert closed, "nobody was let go"
            assert [each for each in closed if each.recv(1)] == []
        deadline = time.monotonic() + PATIENCE
        while not hub.healthy():
            assert hub.running, hub.tail()
            assert time.monotonic() < deadline, hub.tail()
    finally:
        hub.kill()
