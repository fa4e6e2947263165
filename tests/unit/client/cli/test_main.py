"""The command line: output streams, exit codes and errors."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from asman_shared.errors import BadRequest
from devtools.asman_processes import clean_environment
from tests.unit.client.cli.running import Run
from tests.unit.client.fake_hub import FakeHub


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["run", "--", "x"], 125, "error: no queue was named"),
        (["run", "abc", "--", "x"], 125, "error: a queue's name alone does not say"),
        (["run", "http://no-such-host.invalid/q/x", "--", "x"], 125, "error: there is no host named"),
        (["run", "URL", "-m", "2", "--", "x"], 2, "error: '2' is not a size"),
        (["run", "URL", "--timeout", "20", "--", "x"], 2, "error: '20' is not a duration"),
        (["run", "URL", "-f", "/no/such/file", "--", "x"], 125, "error: '/no/such/file' can't be read: No such file"),
        (["run", "URL", "-e", "UNSET_HERE", "--", "x"], 125, "error: the environment variable UNSET_HERE is not set"),
        (["run", "URL", "extra", "--", "x"], 2, "error: unexpected argument 'extra' before '--'"),
        (["run", "URL", "--reuse", "perhaps", "--", "x"], 2, "error: --reuse must be"),
        (["job", "show", "URL", "xyz"], 125, "error: 'xyz' is not a job"),
        (["job", "show", "URL", "abcdef"], 125, "error: no job on this queue begins with 'abcdef'"),
        (["job", "list", "URL", "--state", "gone"], 2, "error: 'gone' is neither a state nor a reason"),
        (["run", "--nonsense"], 2, "Usage: asman run"),
        (["nonsense"], 2, "Usage: asman"),
        (["up", "--executor", "magic"], 2, "error: --executor must be"),
        (["worker"], 125, "error: no queue was named"),
    ],
)
async def test_what_goes_wrong_is_said_in_a_sentence(
    hub: FakeHub, run: Run, words: list[str], code: int, sentence: str
) -> None:
    ended = await run(*(hub.url if word == "URL" else word for word in words))
    assert ended.err.startswith(sentence)
    assert (ended.code, ended.out) == (code, "")
    assert "Traceback" not in ended.err


async def test_a_hub_that_is_not_there(hub: FakeHub, run: Run) -> None:
    await hub.stop()
    ended = await run("run", hub.url, "--", "x")
    assert ended.code == 125
    assert ended.err.splitlines() == [
        f"error: nothing listens at 127.0.0.1:{hub.port}: is the hub running?",
        "hint: start one with 'asman up', or check the host and port in the queue's URL",
    ]


async def test_debug_shows_the_traceback(run: Run) -> None:
    with pytest.raises(BadRequest):
        await run("run", "--debug", "abc", "--", "x")


_HEAVY = frozenset(
    {"aiohttp", "asyncio", "msgspec", "multidict", "pydantic", "rich", "sqlalchemy", "starlette", "websockets", "yaml"}
)


def _loaded_by(code: str) -> set[str]:
    """Returns the modules that are loaded after running code, which must write nothing to standard output."""
    told = "import atexit, sys; atexit.register(lambda: sys.__stderr__.write('|'.join(sys.modules)))"
    environment = clean_environment()
    done = subprocess.run([sys.executable, "-c", f"{told}; {code}"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split("|"))


def _run_alone(*words: str) -> str:
    return f"from asman.cli.main import main; main({list(words)!r})"


async def test_what_costs_time_is_loaded_only_by_the_commands_that_need_it(hub: FakeHub) -> None:
    plain = _HEAVY | {"typer", "urllib.request"}
    for code in ("import asman", "import asman.cli.main", _run_alone("--help"), _run_alone("job", "-h")):
        loaded = _loaded_by(code)
        assert loaded & plain == set(), code
        assert {each for each in loaded if each.startswith("asman_shared")} == set(), code
    help_of_one = await asyncio.to_thread(_loaded_by, _run_alone("job", "logs", "--help"))
    assert "asman.cli.commands.job_logs" in help_of_one
    apart = {"asman.cli.commands.worker", "asman.cli.commands.up"}
    assert help_of_one & (plain - {"typer", "asyncio"} | apart) == set()
    listing = await asyncio.to_thread(_loaded_by, _run_alone("job", "list", hub.url))
    assert "asman.cli.commands.job_list" in listing
    apart = {"asman.client", "asman.cli.commands.job", "logging", "asman_shared.half_characters"}
    assert listing & (_HEAVY | apart | {"asman_shared.link.proxies", "asman_shared.link.unreachable"}) == set()


def test_everything_public_can_be_reached() -> None:
    import asman

    for name in asman.__all__:
        assert getattr(asman, name) is not None
        assert name in dir(asman)
    assert {name for name in dir(asman) if not name.startswith("__")} == set(asman.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = asman.nope


async def test_an_option_of_a_command_without_a_dash_before_it_names_the_dash(hub: FakeHub, run: Run) -> None:
    ended = await run("run", hub.url, "-i", "alpine", "sh", "-c", "echo hi")
    assert (ended.code, hub.seen) == (2, [])
    said = " ".join(ended.err.split())
    assert "No such option: -c" in said
    assert "behind '--': asman run -i alpine -- sh -c 'echo hello'" in said
    assert "behind '--'" not in (await run("run", hub.url, "--nonsense", "--", "x")).err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--cpus", "two"), "'--cpus': 'two' is not a number"),
        (("--gpus", "abc"), "'--gpus': 'abc' is not a whole number"),
        (("--gpus", "-1"), "-1 is not in the range"),
    ],
)
async def test_what_is_no_number_is_told_in_plain_words(run: Run, words: tuple[str, str], says: str) -> None:
    ended = await run("run", *words, "--", "x")
    assert ended.code == 2
    assert says in " ".join(ended.err.split())


async def test_a_mistyped_variable_is_told_and_changes_nothing(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_IMGE", "alpine")
    told = await run("queue", "status", hub.url)
    assert told.code == 0
    said = "warning: the environment variable ASMAN_IMGE has no effect; did you mean ASMAN_IMAGE?"
    assert told.err.splitlines()[0] == said
