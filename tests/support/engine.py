"""A container engine for the whole test run: the machine's own, or a private one that ends with the run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from devtools.engine import Engine, NoEngineError, hold


def engine_for_session() -> Iterator[Engine]:
    """Yield an engine, with ``DOCKER_HOST`` naming it for everything that the tests start.

    A machine where root can't get an engine fails the test; without root it skips, saying why.
    """
    try:
        with hold() as engine:
            before = os.environ.get("DOCKER_HOST")
            os.environ["DOCKER_HOST"] = engine.host
            try:
                yield engine
            finally:
                if before is None:
                    del os.environ["DOCKER_HOST"]
                else:
                    os.environ["DOCKER_HOST"] = before
    except NoEngineError as error:
        if os.geteuid() == 0:
            pytest.fail(f"{error}; make setup installs what is missing", pytrace=False)
        pytest.skip(str(error))
