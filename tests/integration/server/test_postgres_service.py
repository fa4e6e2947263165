"""A hub on a Postgres as it is run for others: with TLS, with a standby that takes over, behind a pooler."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

import asman
from asman_server.storage.postgres.standbys import risk
from asman_shared.errors import Unavailable
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from devtools.ports import free_port
from devtools.postgres import SUPERUSER, PostgresServer, programs
from tests.support.pgbouncer import Pgbouncer
from tests.support.tls_door import make_certificates

Start = Callable[..., HubProcess]


def ended(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a hub that can't start to its end."""
    words = [*asman_command(), "hub", "--port", str(free_port()), *arguments]
    return subprocess.run(
        words, capture_output=True, text=True, env=clean_environment(environment), timeout=PATIENCE, check=False
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which a hub gave up."""
    assert done.returncode == 125, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own."""
    found = programs()
    assert found is not None
    made = PostgresServer(found)
    try:
        made.start()
        yield made
    finally:
        made.remove()


# ---------------------------------------------------------------------------------------------------------- TLS


def test_the_database_is_reached_by_tls_and_only_if_its_certificate_is_the_right_one(
    server: PostgresServer, hub_process: Start, tmp_path: Path
) -> None:
    (own := tmp_path / "own").mkdir()
    (other := tmp_path / "other").mkdir()
    make_certificates(own)
    make_certificates(other)
    certificate, key = server.own(own / "hub.pem", own / "hub.key")
    for name, value in (("ssl_cert_file", certificate), ("ssl_key_file", key), ("ssl", "on")):
        server.set(name, value)
    name = server.new_database().rpartition("/")[2]

    def url(host: str, authority: Path) -> str:
        words = f"sslmode=verify-full&sslrootcert={authority / 'ca.pem'}"
        return f"postgresql://{SUPERUSER}@{host}:{server.port}/{name}?{words}"

    hub = hub_process("--database-url", url("localhost", own))

    async def submitted() -> None:
        async with asman.connect(hub.queue("q")) as queue:
            assert (await queue.submit(image="a")).answer == "queued"

    asyncio.run(submitted())
    plain = "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid)"
    plain += f" WHERE datname = '{name}' AND client_port > 0 AND s.ssl IS NOT TRUE"
    encrypted = plain.replace("IS NOT TRUE", "")
    assert int(server.sql(encrypted, database="postgres")) >= 2
    assert server.sql(plain, database="postgres").strip() == "0"
    folder = ("--data-dir", str(tmp_path / "second"))
    assert "CERTIFICATE_VERIFY_FAILED" in sentence(ended(*folder, "--database-url", url("localhost", other)))
    wrong_name = url("0.0.0.0", own)
    assert "CERTIFICATE_VERIFY_FAILED" in sentence(ended(*folder, "--database-url", wrong_name))
    assert "nowhere" in sentence(ended(*folder, "--database-url", url("localhost", tmp_path / "nowhere")))


# ---------------------------------------------------------------------------------------------------- failover


def test_after_a_failover_nothing_acknowledged_is_lost_although_the_old_primary_goes_on(
    server: PostgresServer, hub_process: Start
) -> None:
    found = programs()
    assert found is not None
    name = server.new_database().rpartition("/")[2]
    standby = PostgresServer(found, of=server)
    try:
        standby.start()
        server.set("synchronous_standby_names", "*")
        hosts = f"127.0.0.1:{server.port},127.0.0.1:{standby.port}"
        hub = hub_process("--database-url", f"postgresql://{SUPERUSER}@{hosts}/{name}")
        assert "commits wait for a standby" in hub.output()
        acknowledged = asyncio.run(_submitted_over_a_failover(hub, standby))
        assert server.running, "nobody has told the old primary"
        stored = set(standby.sql("SELECT id FROM jobs", database=name).split())
        assert acknowledged <= stored
        assert "another server is the primary" in hub.output()
        hub.restart()
        assert hub.healthy()
        assert set(standby.sql("SELECT id FROM jobs", database=name).split()) >= acknowledged
    finally:
        standby.remove()


async def _submitted_over_a_failover(hub: HubProcess, standby: PostgresServer) -> set[str]:
    """Submits jobs until some are acknowledged after the standby has become the primary; returns the acknowledged."""
    acknowledged: set[str] = set()
    promoting: asyncio.Task[None] | None = None
    after = 0
    async with asman.connect(hub.queue("q")) as queue, asyncio.timeout(PATIENCE):
        number = 0
        while after < 20:
            number += 1
            promoted = promoting is not None and promoting.done()
            try:
                job = await queue.submit(image="a", command=f"{number}")
            except Unavailable:  # which says: ask again
                await asyncio.sleep(0.05)
                continue
            acknowledged.add(job.id)
            after += promoted
            if len(acknowledged) == 20:
                promoting = asyncio.create_task(asyncio.to_thread(standby.promote))
    assert promoting is not None
    await promoting
    return acknowledged


@pytest.mark.parametrize(
    ("names", "waits", "standbys", "says"),
    [
        ("", "on", 0, ""),
        ("", "on", 1, "no standby: set synchronous_standby_names"),
        ("*", "on", 1, ""),
        ("*", "remote_apply", 1, ""),
        ("*", "local", 1, "'local', so commits wait for no standby"),
        ("*", "remote_write", 1, "remote_write"),
    ],
)
def test_what_a_failover_may_lose_is_known_from_the_settings(names: str, waits: str, standbys: int, says: str) -> None:
    found = risk(names, waits, standbys)
    assert bool(found) is bool(says)
    assert says in found


def test_a_hub_says_at_its_start_that_a_failover_may_lose_something(server: PostgresServer, hub_process: Start) -> None:
    found = programs()
    assert found is not None
    standby = PostgresServer(found, of=server)
    try:
        standby.start()
        hub = hub_process("--database-url", server.new_database())
        assert "a failover of the database may lose what was acknowledged last" in hub.output()
    finally:
        standby.remove()


# ------------------------------------------------------------------------------------------------------ poolers


@pytest.mark.parametrize("pooling", ["transaction", "session"])
def test_a_hub_behind_a_pooler_is_refused(pooling: str, postgres: PostgresServer, tmp_path: Path) -> None:
    with Pgbouncer(postgres, pooling) as pooler:
        url = pooler.url(postgres.new_database())
        said = sentence(ended("--data-dir", str(tmp_path / "hub"), "--database-url", url))
    assert "behind a pooler of connections" in said
    assert "the address of the server itself" in said


async def test_a_restarted_database_loses_nothing_acknowledged(server: PostgresServer, hub_process: Start) -> None:
    database = await asyncio.to_thread(server.new_database)
    hub = await asyncio.to_thread(hub_process, "--database-url", database)
    acknowledged: set[str] = set()
    restarting: asyncio.Future[None] | None = None

    def restart() -> None:
        server.stop()
        server.start()

    async with asman.connect(hub.queue("q")) as queue, asyncio.timeout(PATIENCE):
        number = after = 0
        while after < 10:
            number += 1
            done = restarting is not None and restarting.done()
            try:
                acknowledged.add((await queue.submit(image="a", command=f"{number}")).id)
            except Unavailable:
                await asyncio.sleep(0.05)
                continue
            after += done
            if len(acknowledged) == 10:
                restarting = asyncio.ensure_future(asyncio.to_thread(restart))
    assert restarting is not None
    await restarting
    connection = await asyncpg.connect(database)
    stored = {row[0] for row in await connection.fetch("SELECT id FROM jobs")}
    await connection.close()
    assert acknowledged <= stored
