"""Output of a job that ``asman run`` passes on to a file or another program."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess

import pytest

from asman import connect as asman_connect
from asman_shared import limits
from devtools.asman_processes import asman_command, clean_environment
from devtools.patience import PATIENCE

MUCH = 3 * limits.LOG_LINE_BYTES + 5


async def run(up: str, script: str, *options: str) -> tuple[bytes, bytes]:
    """Standard output and standard error of a run, to which the command's own notes do not belong."""
    command = await asyncio.create_subprocess_exec(
        *asman_command(), "run", "-q", up, *options, "--", "python3", "-c", script,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
    )  # fmt: skip
    out, err = await asyncio.wait_for(command.communicate(), PATIENCE)
    assert command.returncode == 0, err
    return out, err


async def test_json_on_one_long_line_is_still_json(up: str) -> None:
    out, _ = await run(up, f"import json; print(json.dumps({{'a': 'é' * {MUCH}}}, ensure_ascii=False))")
    assert json.loads(out) == {"a": "é" * MUCH}
    assert out.endswith(b"}\n")


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("no end", 1),
        ("one\r\ntwo\r\n", 1),
        ("10%\r20%\rdone\n", 1),
        ("\r\r\n\n\r", 1),
        ("\n\n", 1),
        ("\x00\x1b[31m\u2028\x0b", 1),
        ("x", limits.LOG_LINE_BYTES),
        ("0123456789abcdef", 10_000),
        ("y\r\nz", 50_000),
    ],
)
async def test_what_a_job_writes_comes_out_byte_for_byte(up: str, text: str, times: int) -> None:
    write = f"[each.buffer.write({text!r}.encode() * {times}) for each in (sys.stdout, sys.stderr)]"
    assert await run(up, f"import sys; {write}") == (text.encode() * times,) * 2


async def test_a_cached_result_is_the_same_bytes(up: str) -> None:
    script = f"import sys; sys.stdout.write('x' * {MUCH} + '\\r\\nend')"
    first = await run(up, script, "-e", "CACHED=1")
    assert first == await run(up, script, "-e", "CACHED=1")
    assert first[0] == b"x" * MUCH + b"\r\nend"


async def test_bytes_that_are_not_utf_8_become_one_sign_each_and_nothing_else_changes(up: str) -> None:
    out, _ = await run(up, "import sys; sys.stdout.buffer.write(b'a\\xff\\xfeb')")
    assert out == "a\ufffd\ufffdb".encode()


async def test_a_reader_that_goes_away_is_told_that_the_job_keeps_running(up: str) -> None:
    command = await asyncio.create_subprocess_exec(
        *asman_command(), "run", up, "-e", "LEFT=1", "--", "sh", "-c", "while :; do echo x; sleep 0.1; done",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stderr is not None
    assert await asyncio.wait_for(command.stdout.readline(), PATIENCE) == b"x\n"
    transport = command._transport.get_pipe_transport(1)  # type: ignore[attr-defined] # there is no public way
    transport.close()
    err = (await asyncio.wait_for(command.stderr.read(), PATIENCE)).decode()
    assert await command.wait() == 141
    found = re.search(r"the job keeps running: \S+/j/([0-9a-f]{64})", err)
    assert found is not None, err
    async with asman_connect(up) as queue:
        job = await queue.get(found[1])
        assert job.verdict is None
        await job.cancel()
