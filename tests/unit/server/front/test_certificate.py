"""A certificate is loaded again when it changes; one that can't be used stays out, and its end is told."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asman_server.front.certificate import FILE_BYTES, WARN_SECONDS, Certificate
from asman_shared.errors import Misconfigured
from tests.support.tls_door import make_certificate, make_certificates


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    make_certificate(folder, "next", 3)
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    shutil.copy(made / "hub.pem", chain)
    shutil.copy(made / "hub.key", key)
    return chain, key


def shown(context: ssl.SSLContext, authority: Path, name: str | None = "localhost") -> bytes:
    """The certificate that a handshake gives, in DER."""
    trusting = ssl.create_default_context(cafile=str(authority))
    trusting.check_hostname = name is not None
    here, there = socket.socketpair()

    def serve() -> None:
        with context.wrap_socket(there, server_side=True) as served:
            served.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with trusting.wrap_socket(here, server_hostname=name) as secure:
            secure.sendall(b".")
            found = secure.getpeercert(binary_form=True)
    finally:
        thread.join()
    assert found is not None
    return found


def der(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text())


@pytest.mark.parametrize("name", ["localhost", None])
async def test_each_handshake_takes_the_newest_pair_also_without_a_name(
    made: Path, files: tuple[Path, Path], name: str | None
) -> None:
    chain, key = files
    certificate = Certificate(chain, key)
    assert await asyncio.to_thread(shown, certificate.context, made / "ca.pem", name) == der(made / "hub.pem")
    before = certificate.expires
    shutil.copy(made / "next.pem", chain)
    shutil.copy(made / "next.key", key)
    await certificate.look()
    assert await asyncio.to_thread(shown, certificate.context, made / "ca.pem", name) == der(made / "next.pem")
    assert certificate.expires > before
    assert certificate.failing == ""


@pytest.mark.parametrize("wrong", ["another key", "no file", "a folder", "no PEM", "too large", "encrypted"])
async def test_a_pair_that_can_not_be_used_is_told_once_and_the_earlier_one_stays(
    made: Path, files: tuple[Path, Path], wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    chain, key = files
    certificate = Certificate(chain, key)
    spoil(made, files, wrong)
    await certificate.look()
    await certificate.look()
    told = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [each.getMessage() for each in told] == [
        "the certificate has changed and can't be used; the earlier one stays"
    ]
    assert told[0].__dict__["reason"] == certificate.failing
    assert await asyncio.to_thread(shown, certificate.context, made / "ca.pem") == der(made / "hub.pem")
    if wrong == "a folder":
        key.rmdir()
    shutil.copy(made / "next.pem", chain)
    shutil.copy(made / "next.key", key)
    await certificate.look()
    assert certificate.failing == ""
    assert await asyncio.to_thread(shown, certificate.context, made / "ca.pem") == der(made / "next.pem")


def spoil(made: Path, files: tuple[Path, Path], wrong: str) -> None:
    chain, key = files
    if wrong == "another key":
        shutil.copy(made / "next.key", key)
    elif wrong == "no file":
        chain.unlink()
    elif wrong == "a folder":
        key.unlink()
        key.mkdir()
    elif wrong == "no PEM":
        chain.write_bytes(bytes(range(256)) * 10)
    elif wrong == "too large":
        key.write_bytes(key.read_bytes() + b"\n" * FILE_BYTES)
    else:
        shutil.copy(made / "hub.key", key.with_name("plain.key"))
        encrypt(key.with_name("plain.key"), key)


def encrypt(plain: Path, into: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    read = serialization.load_pem_private_key(plain.read_bytes(), None)
    into.write_bytes(
        read.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("another key", "the key in {key} is not that of the certificate in {chain}"),
        ("no file", "there is no file {chain} with the certificate"),
        ("a folder", "there is no file {key} with the key"),
        ("no PEM", "{chain} and {key} are not a certificate and its key, both in PEM"),
        ("too large", "the file {key} is too large to be a key"),
        ("encrypted", "the key in {key} is encrypted: give one without a password, which only the hub may read"),
    ],
)
def test_at_the_start_it_is_one_sentence(made: Path, files: tuple[Path, Path], wrong: str, sentence: str) -> None:
    spoil(made, files, wrong)
    with pytest.raises(Misconfigured) as error:
        Certificate(*files)
    assert error.value.message == sentence.format(chain=files[0], key=files[1])


async def test_the_end_is_told_each_day_from_two_weeks_before(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    now = 0
    certificate = Certificate(*files, clock=lambda: now)

    async def told_at(seconds: float) -> list[tuple[int, str]]:
        nonlocal now
        caplog.clear()
        now = int((certificate.expires + seconds) * 1000)
        await certificate.look()
        await certificate.look()
        return [(each.levelno, each.getMessage()) for each in caplog.records]

    assert await told_at(-WARN_SECONDS - 60) == []
    soon = f"the certificate expires soon: {datetime.fromtimestamp(certificate.expires, UTC):%Y-%m-%d}"
    ((level, told),) = await told_at(-WARN_SECONDS + 60)
    assert (level, told[: len(soon)]) == (logging.WARNING, soon)
    assert await told_at(-WARN_SECONDS + 3600) == []
    assert len(await told_at(-WARN_SECONDS + 2 * 86_400)) == 1
    assert await told_at(1) == [(logging.ERROR, "the certificate has expired: clients refuse this hub")]


def test_one_file_may_hold_both(made: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes((made / "hub.key").read_bytes() + (made / "hub.pem").read_bytes())
    certificate = Certificate(both, both)
    assert shown(certificate.context, made / "ca.pem") == der(made / "hub.pem")
