"""A Postgres server for the whole test run, which ends with the run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from devtools.postgres import PostgresServer, programs


def postgres_for_session() -> Iterator[PostgresServer]:
    """Yield a running server.

    Where it is not installed, root's tests fail (``make setup`` installs it) and others skip, saying why.
    """
    found = programs()
    if found is None:
        if os.geteuid() == 0:
            pytest.fail("Postgres is not installed; make setup installs what is missing", pytrace=False)
        pytest.skip("Postgres is not installed")
    server = PostgresServer(found)
    try:
        server.start()
        yield server
    finally:
        server.remove()
