"""The command line: output streams, exit codes and errors."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asman.cli import exits, pages
from asman.cli.command_table import TREE, Noun
from asman.cli.commands.up import kept_queue
from asman.cli.main import main
from asman.cli.tree import command_tree
from asman_shared import messages as m
from asman_shared.definition import DataRef
from asman_shared.errors import BadRequest
from asman_shared.states import Reason, State
from devtools.asman_processes import clean_environment
from tests.unit.client.fake_hub import FakeHub, Visitor

ASMAN = [sys.executable, "-c", "from asman.cli.main import main; main()"]


@dataclass
class Ended:
    """The output and the exit code of a command."""

    code: Any
    out: str
    err: str


Run = Callable[..., Any]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in a thread while the test's hub answers it."""

    def blocking(words: tuple[str, ...]) -> Any:
        try:
            main(list(words))
        except SystemExit as ended:
            return ended.code

    async def running(*words: str) -> Ended:
        code = await asyncio.to_thread(blocking, words)
        out, err = capsys.readouterr()
        return Ended(code or 0, out, err)

    return running


def play(hub: FakeHub, exit_code: int | None = 0, reason: Reason | None = None, **more: Any) -> None:
    """Makes each new job write to both streams, produce a file, and end."""

    def submit(visitor: Visitor, message: m.Submit) -> None:
        before = set(hub.jobs)
        hub._submit(visitor, message)
        for job in set(hub.jobs) - before:
            hub.log(job, "one")
            hub.log(job, "two", stream=m.STDERR)
            hub.output(job, "made.txt", b"made")
            hub.finish(job, exit_code, reason, **more)

    hub.on[m.Submit] = submit


async def test_run_shows_both_streams_and_exits_as_the_job_did(hub: FakeHub, run: Run) -> None:
    play(hub, 3)
    ended = await run("run", hub.url, "--", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert (ended.code, ended.out) == (3, "one\n")
    assert ended.err.splitlines()[0].startswith(f"queued: {hub.address}/j/")
    assert ended.err.splitlines()[1:] == ["two", "the job exited with code 3"]
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition.command == ["sh", "-c", "echo one; echo two >&2; exit 3"]
    assert seen.definition.image is None


async def test_run_again_is_cached_and_says_so(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub)
    await run("run", hub.url, "--", "x")
    ended = await run("run", hub.url, "-o", str(tmp_path / "out"), "--", "x")
    assert (ended.code, ended.out) == (0, "one\n")
    assert ended.err.startswith("cached, not run again: ")
    assert "saved 1 file in" in ended.err
    assert (tmp_path / "out" / "made.txt").read_text() == "made"


async def test_run_takes_the_queue_from_the_environment(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(hub)
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    monkeypatch.setenv("MINE", "passed on")
    ended = await run(
        "run",
        "-q",
        "-i",
        "alpine",
        "-e",
        "A=1=2",
        "-e",
        "MINE",
        "--cpus",
        "2",
        "--tag",
        "t",
        "--",
        "echo",
        "-n",
        "--",
        "x",
    )
    assert (ended.code, ended.err) == (0, "two\n")
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition.command == ["echo", "-n", "--", "x"]
    assert (seen.definition.image, seen.definition.tags) == ("alpine", ["t"])
    assert seen.definition.env == {"A": "1=2", "MINE": "passed on"}


async def test_run_without_dashes_takes_the_words_behind_the_queue(hub: FakeHub, run: Run) -> None:
    play(hub)
    assert (await run("run", hub.url, "echo", "hello")).code == 0
    assert hub.all_of(m.Submit)[0].definition.command == ["echo", "hello"]


async def test_run_as_json_keeps_standard_output_for_the_result(hub: FakeHub, run: Run) -> None:
    play(hub, 4)
    ended = await run("run", hub.url, "--json", "--", "x")
    value = json.loads(ended.out)
    assert ended.code == 4
    assert (value["answer"], value["verdict"]["exit_code"], value["state"]) == ("queued", 4, "Finished")
    assert value["outputs"]["made.txt"]["url"] == f"{value['url']}/outputs/made.txt"
    assert "one\n" in ended.err


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.TIMED_OUT, 124),
        (Reason.ERROR, 125),
        (Reason.WORKER_LOST, 126),
        (Reason.CANCELLED, 130),
        (Reason.REPLACED, 130),
        (Reason.DELETED, 130),
        (Reason.OUT_OF_MEMORY, 137),
    ],
)
async def test_every_other_end_has_its_code_and_sentence(hub: FakeHub, run: Run, reason: Reason, code: int) -> None:
    play(hub, None, reason, message="because of that", hint="do this")
    ended = await run("run", "-q", hub.url, "--", "x")
    assert ended.code == code
    assert code in exits.EXIT_CODES
    assert ended.err.splitlines()[1].startswith("error: the job ")
    assert ended.err.splitlines()[1].endswith(": because of that")
    assert ended.err.splitlines()[2] == "hint: do this"


async def test_run_says_why_nobody_can_run_it(hub: FakeHub, run: Run) -> None:
    def submit(visitor: Visitor, message: m.Submit) -> None:
        hub._submit(Visitor(hub, visitor.ws), message)
        (job,) = hub.jobs
        visitor.follows.add(job)
        why = "needs 2 gpus; 3 workers are connected and none has one"
        visitor.say(m.Accepted(message.ref, "queued", hub.jobs[job].state, able=0, why=why))

    def follow(visitor: Visitor, message: m.Follow) -> None:
        hub._follow(visitor, message)
        hub.finish(message.job, 0)

    hub.on[m.Follow] = follow
    hub.on[m.Submit] = submit
    ended = await run("run", hub.url, "--", "x")
    assert "waiting: needs 2 gpus; 3 workers are connected and none has one\n" in ended.err


async def test_job_add_with_files_waits_and_saves(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub)
    (tmp_path / "README.md").write_text("read me")
    (tmp_path / "other").write_text("renamed")
    ended = await run(
        *("job", "add", hub.url, "--file", str(tmp_path / "README.md"), "--file", f"new={tmp_path / 'other'}"),
        *("-c", 'sh -c "x"', "--wait", "-o", str(tmp_path / "out"), "--keep", "*.txt", "--keep", "plots"),
    )
    assert (ended.code, ended.out) == (0, "one\n")
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition.outputs == ["*.txt", "plots"]
    assert seen.definition.command == 'sh -c "x"'
    assert seen.definition.inputs == {"README.md": DataRef("read me", "utf8"), "new": DataRef("renamed", "utf8")}
    assert (tmp_path / "out" / "made.txt").read_text() == "made"


async def test_job_add_alone_prints_the_id(hub: FakeHub, run: Run) -> None:
    ended = await run("job", "add", hub.url, "-c", "x")
    assert ended.out == f"{next(iter(hub.jobs))}\n"


async def test_the_nouns_of_a_job(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub, 3)
    job = (await run("job", "add", hub.url, "-i", "alpine", "-c", "x")).out.strip()
    shown = await run("job", "show", hub.url, job[:8])
    assert f"job  {job}" in shown.out
    assert "exit_code  3" in shown.out
    assert json.loads((await run("job", "show", hub.url, job, "--json")).out)["definition"]["image"] == "alpine"
    logs = await run("job", "logs", hub.url, f"{hub.address}/j/{job}")
    assert (logs.out, logs.err, logs.code) == ("one\n", "two\n", 0)
    lines = (await run("job", "logs", hub.url, job, "--json", "--since", "1")).out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["two"]
    waited = await run("job", "wait", hub.url, job, "--timeout", "5s")
    assert (waited.code, waited.out) == (3, "")
    result = await run("job", "result", "--json", hub.url, job)
    assert (result.code, list(json.loads(result.out)["outputs"])) == (3, ["made.txt"])
    assert "made.txt" in (await run("job", "outputs", hub.url, job)).out
    await run("job", "outputs", hub.url, job, "-o", str(tmp_path))
    assert (tmp_path / "made.txt").read_text() == "made"
    listed = await run("job", "list", hub.url)
    assert listed.out.splitlines()[1].split()[:2] == [job[:12], "Failed"]
    assert json.loads((await run("job", "list", hub.url, "--state", "queued", "--json")).out) == []
    assert "there was nothing to cancel" in (await run("job", "cancel", hub.url, job)).err
    assert (await run("job", "delete", hub.url, job)).code == 0
    gone = await run("job", "show", hub.url, job)
    assert (gone.code, gone.err) == (125, "error: there is no such job on this queue\n")


async def test_a_wait_that_is_too_long_exits_124(hub: FakeHub, run: Run) -> None:
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    ended = await run("job", "wait", hub.url, job, "--timeout", "10ms")
    assert ended.code == 124
    assert ended.err == f"error: waiting for job {job[:12]} took longer than 0.01 seconds\n"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["run", "--", "x"], 125, "error: no queue was named"),
        (["run", "abc", "--", "x"], 125, "error: a queue's name alone does not say"),
        (["run", "http://no-such-host.invalid/q/x", "--", "x"], 125, "error: there is no host named"),
        (["run", "URL", "-m", "2", "--", "x"], 125, "error: '2' is not a size"),
        (["run", "URL", "--timeout", "20", "--", "x"], 125, "error: '20' is not a duration"),
        (["run", "URL", "-f", "/no/such/file", "--", "x"], 125, "error: '/no/such/file' can't be read: No such file"),
        (["run", "URL", "-e", "UNSET_HERE", "--", "x"], 125, "error: the environment variable UNSET_HERE is not set"),
        (["run", "URL", "extra", "--", "x"], 125, "error: unexpected argument 'extra' before '--'"),
        (["run", "URL", "--reuse", "perhaps", "--", "x"], 125, "error: --reuse must be"),
        (["job", "show", "URL", "xyz"], 125, "error: 'xyz' is not a job"),
        (["job", "show", "URL", "abcdef"], 125, "error: no job on this queue begins with 'abcdef'"),
        (["job", "list", "URL", "--state", "gone"], 125, "error: 'gone' is neither a state nor a reason"),
        (["run", "--nonsense"], 2, "Usage: asman run"),
        (["nonsense"], 2, "Usage: asman"),
        (["up", "--executor", "magic"], 125, "error: --executor must be"),
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


async def test_a_list_is_refused_in_the_hub_s_words_or_in_a_sentence_about_what_is_there(
    hub: FakeHub, run: Run
) -> None:
    async def told(status: int, body: bytes) -> str:
        hub.rest = lambda _path: (status, body)
        ended = await run("job", "list", hub.url)
        assert (ended.code, ended.out) == (125, "")
        return str(ended.err)

    host = f"127.0.0.1:{hub.port}"
    refusal = b'{"error": "too many at once", "code": "overloaded", "retry": true}'
    assert await told(503, refusal) == "error: too many at once\nhint: try again in a moment\n"
    missing = f"error: {host} answered with HTTP status 404: is it an Asman hub, and the path right?\n"
    assert await told(404, b"<h1>no such page</h1>") == missing
    assert await told(200, b"<h1>hello</h1>") == f"error: what answers at {host} is not an Asman hub\n"
    assert await told(200, b"[]") == f"error: what answers at {host} is not an Asman hub\n"
    await hub.stop()
    assert (await run("job", "list", hub.url)).err.startswith(f"error: nothing listens at {host}: is the hub running?")
    nowhere = await run("job", "list", "http://no-such-host.invalid/q/x")
    assert nowhere.err == "error: there is no host named 'no-such-host.invalid': check the queue's address\n"


async def test_debug_shows_the_traceback(run: Run) -> None:
    with pytest.raises(BadRequest):
        await run("run", "--debug", "abc", "--", "x")


async def test_queue_new_and_status(hub: FakeHub, run: Run) -> None:
    made = await run("queue", "new", "--hub", hub.address)
    url = made.out.strip()
    assert url.startswith(f"{hub.address}/q/")
    assert f"asman worker {url}" in made.err
    assert json.loads((await run("queue", "new", "--json")).out)["url"].startswith("http://localhost:8000/q/")
    hub.workers = [m.WorkerState("w1", 1, "ready", name="laptop", cpus=4, executor="docker")]
    status = await run("queue", "status", hub.url)
    assert status.out.splitlines()[0] == "0 queued, 0 running, 0 finished"
    assert status.out.splitlines()[2].split()[:4] == ["laptop", "ready", "0", "0/4"]
    assert json.loads((await run("queue", "status", hub.url, "--json")).out)["workers"][0]["name"] == "laptop"


async def test_ctrl_c_cancels_the_run_that_it_began_and_exits_130(hub: FakeHub) -> None:
    command = await asyncio.create_subprocess_exec(
        *ASMAN, "run", hub.url, "--", "sleep", "100", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    await hub.saw(m.Follow)
    command.send_signal(signal.SIGINT)
    _, err = await command.communicate()
    assert command.returncode == 130
    assert err.decode().splitlines()[1:] == ["cancelled"]
    assert len(hub.all_of(m.Cancel)) == 1


async def test_ctrl_c_leaves_the_run_of_somebody_else_alone(hub: FakeHub) -> None:
    words = ["run", hub.url, "--on-interrupt", "leave", "--", "sleep", "100"]
    command = await asyncio.create_subprocess_exec(*ASMAN, *words, stderr=subprocess.PIPE)
    await hub.saw(m.Follow)
    command.send_signal(signal.SIGINT)
    _, err = await command.communicate()
    assert command.returncode == 130
    assert "the job keeps running" in err.decode()
    assert hub.all_of(m.Cancel) == []


async def test_a_reader_that_leaves_ends_the_command_quietly(hub: FakeHub) -> None:
    command = await asyncio.create_subprocess_exec(
        *ASMAN, "run", "-q", hub.url, "--", "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await hub.saw(m.Follow)
    assert command.stdout is not None
    assert command.stderr is not None
    (job,) = hub.jobs
    hub.log(job, "first")
    assert await command.stdout.readline() == b"first\n"
    command._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    hub.log(job, *["more"] * 100)
    assert await command.stderr.read() == b""
    assert await command.wait() == exits.BROKEN_PIPE


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
        assert _loaded_by(code) & plain == set(), code
    help_of_one = await asyncio.to_thread(_loaded_by, _run_alone("job", "logs", "--help"))
    assert "asman.cli.commands.job_logs" in help_of_one
    apart = {"asman.cli.commands.worker", "asman.cli.commands.up"}
    assert help_of_one & (plain - {"typer", "asyncio"} | apart) == set()
    listing = await asyncio.to_thread(_loaded_by, _run_alone("job", "list", hub.url))
    assert "asman.cli.commands.job_list" in listing
    assert listing & (_HEAVY | {"asman.client", "asman.cli.commands.job"}) == set()


def test_the_pages_of_commands_are_the_same_with_and_without_typer() -> None:
    tree = command_tree()
    for noun in ("", *(name for name, each in TREE.items() if isinstance(each, Noun))):
        words = [noun] if noun else []
        short = pages.asked([*words, "--help"])
        group: Any = tree.commands[noun] if noun else tree
        assert short == pages.page(noun)
        for parameter in group.params:
            assert f"  {parameter.opts[0]} " in short
        for name in group.commands:
            assert f"  {name} " in short
        assert max(map(len, short.splitlines())) <= 80
    assert pages.asked(["run", "--help"]) is None
    assert pages.asked(["job", "list", "-h"]) is None
    assert pages.asked([]) is None


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "-h"], ["job"], ["queue", "--help"], ["--version"]])
async def test_help(run: Run, words: list[str]) -> None:
    ended = await run(*words)
    assert ended.code in (0, 2)
    assert "asman" in ended.out + ended.err


def test_up_keeps_its_queue(tmp_path: Path) -> None:
    first = kept_queue(tmp_path, None)
    assert kept_queue(tmp_path, None) == first
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0
    assert kept_queue(tmp_path, "mine") == "mine"
    assert kept_queue(tmp_path, None) == "mine"
    with pytest.raises(BadRequest):
        kept_queue(tmp_path, "not a name")


def test_everything_public_can_be_reached() -> None:
    import asman

    for name in asman.__all__:
        assert getattr(asman, name) is not None
        assert name in dir(asman)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = asman.nope


async def test_explain_says_it_to_people_and_to_programs(hub: FakeHub, run: Run) -> None:
    def explain(visitor: Visitor, message: m.Explain) -> None:
        visitor.say(
            m.Explanation(
                message.ref, message.job, State.QUEUED, "it needs 2 gpus", workers=3, position=0, waiting_for="gpus"
            )
        )

    hub.on[m.Explain] = explain
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    ended = await run("job", "explain", hub.url, job)
    assert (ended.code, ended.out) == (0, "Queued: it needs 2 gpus\n")
    ended = await run("job", "explain", hub.url, job, "--json")
    assert json.loads(ended.out) == {
        "job": job,
        "state": "Queued",
        "sentence": "it needs 2 gpus",
        "workers": 3,
        "position": 0,
        "waiting_for": "gpus",
    }


async def test_queue_retention_is_shown_and_set(hub: FakeHub, run: Run) -> None:
    def configure(visitor: Visitor, message: m.Configure) -> None:
        kept = message.retention or 7 * 86_400_000
        visitor.say(m.Configured(message.ref, kept, own=bool(message.retention)))

    hub.on[m.Configure] = configure
    assert (await run("queue", "retention", hub.url)).out == "7d (the hub's setting)\n"
    assert (await run("queue", "retention", hub.url, "--set", "30d")).out == "30d (set for this queue)\n"
    shown = await run("queue", "retention", hub.url, "--set", "default", "--json")
    assert json.loads(shown.out) == {"retention": 7 * 86_400_000, "own": False}
    assert [message.retention for message in hub.all_of(m.Configure)] == [None, 30 * 86_400_000, 0]
    wrong = await run("queue", "retention", hub.url, "--set", "soon")
    assert wrong.code != 0
    assert "'soon' is not a duration" in wrong.err
