"""Commits are compared to the end: small clones made for it, whose scenario says what it was told, and Asman itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.commits.__main__ import ROOT, compare, main
from bench.commits.checkout import check_out, commit_of
from bench.commits.scenarios import Unusable

PROJECT = """\
[project]
name = "asman"
dependencies = []
[project.scripts]
asman = "asman:main"
"""
BENCH = """\
import dataclasses
import subprocess
import sys
import asman_server
from bench import extra

RUNS = 3


@dataclasses.dataclass
class Report:
    figures: list
    comparisons: list


def arguments(parser):
    parser.add_argument("--jobs", type=int)


def run(wanted):
    extra.before()
    said = subprocess.run(["asman"], executable=sys.executable.replace("python", "asman"), capture_output=True)
    speed = asman_server.SPEED * RUNS
    values = {"speed": ("jobs/s", speed), "time": ("ms", 1000 / speed), "jobs asked": ("bytes", wanted.jobs)}
    values["said"] = ("bytes", int(said.stdout))
    return Report([{"name": name, "unit": unit, "values": [value]} for name, (unit, value) in values.items()], [])
"""
COMPILER = """\
import sys
from pathlib import Path
state = Path("state")
if sys.argv[1] == "check":
    print(state.read_text() if state.exists() else "none")
elif sys.argv[1] == "build":
    if Path("broken").exists():
        raise SystemExit("error: no compiler at all")
    state.write_text("fresh")
else:
    state.unlink()
"""


class Clone:
    """A repository with what a comparison needs of Asman: one figure, ``SPEED``, and a command that prints it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for package in ("client/asman", "server/asman_server", "shared/asman_shared", "worker/asman_worker"):
            self.write(f"{package}/__init__.py", "")
        self.write("client/asman/__init__.py", "import asman_server\ndef main(): print(asman_server.SPEED)\n")
        self.write("bench/__init__.py", "")
        self.write("bench/extra.py", "def before(): pass\n")
        self.write("bench/depth.py", BENCH)
        self.write("pyproject.toml", PROJECT)
        self.write("constraints.txt", "")
        self.write(".gitignore", ".run\n__pycache__\nstate\nbench/results\n")
        self.git("init", "-q")
        self.speed(100)

    def write(self, path: str, text: str) -> None:
        """Writes a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def speed(self, speed: int) -> None:
        """Changes what is measured."""
        self.write("server/asman_server/__init__.py", f"SPEED = {speed}\n")

    def commit(self) -> str:
        """Commits all; returns the hash."""
        self.git("add", "-A")
        self.git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "change")
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        """Runs git."""
        return subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def result(self) -> dict[str, Any]:
        """The JSON of the only comparison."""
        [file] = (self.root / "bench/results").iterdir()
        found: dict[str, Any] = json.loads(file.read_text())
        return found


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone with one commit."""
    made = Clone(tmp_path / "clone")
    made.commit()
    return made


# -------------------------------------------------------------------------------------------------- two commits


def test_the_working_tree_is_compared_with_a_commit_each_by_its_own_sources(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    old = clone.git("rev-parse", "HEAD")
    clone.speed(200)
    clone.commit()
    clone.speed(400)  # not committed
    compare(clone.root, "HEAD~1", ["depth"], "2")
    result = clone.result()
    assert (result["rounds"], result["old"]["commit"], result["new"]["commit"]) == (2, old, "")
    assert result["new"]["about"] == f"{clone.git('rev-parse', '--short', 'HEAD')} with changes"
    found = {figure["name"]: figure for figure in result["scenarios"]["depth"]["figures"]}
    assert found["speed"]["old"] == [100, 100]  # the constant RUNS is set to 1
    assert found["speed"]["new"] == [400, 400]
    assert found["said"]["old"] == [100, 100]  # by the program ``asman`` of that side
    assert found["said"]["new"] == [400, 400]
    for name in ("speed", "time"):
        assert found[name]["ratio"] == pytest.approx({"mean": 4, "low": 4, "high": 4, "rounds": 2})
    assert found["jobs asked"]["ratio"]["mean"] == 1
    printed = capsys.readouterr()
    assert "4.000 to 4.000" in printed.out
    assert printed.err.count("depth, round") == 4


def test_a_checkout_and_its_environment_are_made_once_and_git_does_not_know_of_them(clone: Clone) -> None:
    before = clone.git("worktree", "list")
    compare(clone.root, "HEAD", ["depth"], "2")
    checkout = clone.root / ".run/compare" / clone.git("rev-parse", "HEAD")
    made = (checkout / ".venv/pyvenv.cfg").stat().st_mtime_ns
    compare(clone.root, "HEAD", ["depth"], "2")
    assert (checkout / ".venv/pyvenv.cfg").stat().st_mtime_ns == made
    assert clone.git("worktree", "list") == before
    assert clone.git("status", "--porcelain") == ""


def test_the_working_tree_can_be_compared_with_itself(clone: Clone) -> None:
    clone.speed(300)
    compare(clone.root, "self", ["depth"], "3")
    [speed, *_] = clone.result()["scenarios"]["depth"]["figures"]
    assert (speed["old"], speed["new"]) == ([300] * 3, [300] * 3)


# -------------------------------------------------------------------------------------------------- compiled or not


def test_a_commit_is_compiled_as_the_working_tree_is(clone: Clone) -> None:
    clone.write("build_tools/compiled.py", COMPILER)
    state = clone.root / ".run/compare" / clone.commit() / "state"
    clone.write("state", "fresh")
    compare(clone.root, "HEAD", ["depth"], "2")
    assert state.read_text() == "fresh"
    assert clone.result()["old"]["compiled"] is True
    (clone.root / "state").unlink()
    compare(clone.root, "HEAD", ["depth"], "2")
    assert not state.exists()


def test_a_commit_that_has_its_compiler_in_another_place_is_compiled_too(clone: Clone) -> None:
    clone.write("scripts/compiled.py", COMPILER)
    commit = clone.commit()
    clone.git("rm", "-q", "scripts/compiled.py")
    clone.write("build_tools/compiled.py", COMPILER)
    clone.write("state", "fresh")
    compare(clone.root, commit, ["depth"], "2")
    assert (clone.root / ".run/compare" / commit / "state").read_text() == "fresh"
    assert clone.result()["old"]["compiled"] is True


def test_what_is_out_of_date_or_can_not_be_compiled_is_told(clone: Clone) -> None:
    clone.write("build_tools/compiled.py", COMPILER)
    clone.write("broken", "")
    short = clone.commit()[:7]
    clone.write("state", "stale")
    with pytest.raises(Unusable, match=r"older than its sources; run 'make compile' first$"):
        compare(clone.root, "HEAD", ["depth"], "2")
    clone.write("state", "fresh")
    with pytest.raises(Unusable, match=rf"^{short} can't be made ready: .* error: no compiler at all \("):
        compare(clone.root, "HEAD", ["depth"], "2")


def test_a_commit_from_before_there_was_a_compiler_is_told(clone: Clone) -> None:
    clone.write("build_tools/compiled.py", COMPILER)
    clone.write("state", "fresh")
    with pytest.raises(Unusable, match="it has nothing that compiles it, but the working tree is compiled"):
        compare(clone.root, "HEAD", ["depth"], "2")


def test_packages_that_can_not_be_installed_are_told(clone: Clone) -> None:
    clone.write("constraints.txt", "other==1\n")
    system = '[build-system]\nrequires = []\nbuild-backend = "gone"\nbackend-path = ["."]\n'
    clone.write("pyproject.toml", f"{PROJECT}{system}")
    clone.commit()
    clone.write("constraints.txt", "")
    with pytest.raises(Unusable, match="can't be made ready: its packages could not be installed: "):
        compare(clone.root, "HEAD", ["depth"], "2")


# -------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("side", ["commit", "working tree"])
def test_a_side_that_does_not_start_is_one_sentence(
    clone: Clone, capsys: pytest.CaptureFixture[str], side: str
) -> None:
    good = (clone.root / "server/asman_server/__init__.py").read_text()
    clone.write("server/asman_server/__init__.py", "raise RuntimeError('no hub today')\n")
    if side == "commit":
        name = clone.commit()[:7]
        clone.write("server/asman_server/__init__.py", good)
    else:
        name = "working tree"
    assert main(["HEAD", "depth", "--rounds", "2"], clone.root) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {name} could not run depth: RuntimeError: no hub today (")
    assert not (clone.root / "bench/results").exists()


def test_a_scenario_that_a_commit_does_not_have_is_one_sentence(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["HEAD", "logs", "--rounds", "2"], clone.root) == 1
    assert "could not run logs: ModuleNotFoundError: No module named 'bench.logs'" in capsys.readouterr().err


def test_packages_that_came_from_elsewhere_are_not_measured(clone: Clone) -> None:
    other = clone.root.parent / "elsewhere"
    other.mkdir()
    (other / "asman_shared.py").write_text("")
    clone.write("bench/extra.py", f"import sys\ndef before(): sys.path.insert(0, {str(other)!r})\n")
    with pytest.raises(Unusable, match=r"the same again was not measured: its asman_shared came from .*elsewhere"):
        compare(clone.root, "self", ["depth"], "2")


LEAVES = """\
import subprocess, sys, time
from pathlib import Path
def before():
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(r"{told}").write_text(str(left.pid))
    {then}
"""


def _program(clone: Clone) -> subprocess.Popen[str]:
    """The comparison as a process of its own, as ``python -m bench.commits`` would be."""
    code = (
        "import sys; from pathlib import Path; from bench.commits.__main__ import main\n"
        "from bench.commits.processes import adopt_orphans, end_by_interrupt\n"
        "end_by_interrupt(); adopt_orphans(); sys.exit(main(['self', 'depth', '--rounds', '2'], Path(sys.argv[1])))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(clone.root)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_a_side_leaves_running_is_ended(clone: Clone, tmp_path: Path) -> None:
    clone.write("bench/extra.py", LEAVES.format(told=tmp_path / "pid", then="raise RuntimeError('ended early')"))
    program = _program(clone)
    said, _ = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "error: the same again could not run depth: RuntimeError: ended early" in said
    assert _gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_comparison_that_is_stopped_leaves_nothing_running(
    clone: Clone, tmp_path: Path, number: signal.Signals
) -> None:
    told = tmp_path / "pid"
    clone.write("bench/extra.py", LEAVES.format(told=told, then="time.sleep(600)"))
    program = _program(clone)
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text()):
        assert program.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(program.pid, number)
    said, _ = program.communicate(timeout=60)
    assert program.returncode == 130
    assert said.splitlines()[-1] == "stopped; no result was written"
    assert "Traceback" not in said
    assert _gone(int(told.read_text()))


# -------------------------------------------------------------------------------------------------- checkouts


def test_commits_are_named_as_git_names_them(clone: Clone) -> None:
    first = clone.git("rev-parse", "HEAD")
    clone.speed(5)
    clone.commit()
    clone.git("tag", "v1", first)
    assert {commit_of(clone.root, word) for word in ("HEAD~1", "v1", first, first[:8])} == {first}
    for word in ("nothing", "--all", "", "HEAD:bench"):
        with pytest.raises(Unusable, match=f"^there is no commit '{word}' in this clone$"):
            commit_of(clone.root, word)


def test_a_checkout_that_was_cut_off_is_made_again(clone: Clone, tmp_path: Path) -> None:
    clone.write("run", "#!/bin/sh\n")
    (clone.root / "run").chmod(0o755)
    commit = clone.commit()
    clone.git("rm", "-q", "--cached", "run")  # the index of the clone is as its user left it
    (tmp_path / "there.partial").mkdir()
    (tmp_path / "there.partial/half").write_text("")
    check_out(clone.root, commit, tmp_path / "there")
    assert (tmp_path / "there/run").stat().st_mode & 0o111
    assert not (tmp_path / "there/half").exists()
    assert clone.git("status", "--porcelain").splitlines()[0] == "D  run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone", "there"]


# -------------------------------------------------------------------------------------------------- Asman itself


@pytest.mark.timeout(300)  # four hubs with workers and clients, on a machine that may be busy
def test_asman_is_compared_with_itself() -> None:
    command = [sys.executable, "-m", "bench.commits", "--quick", "--rounds", "2", "--", "self", "throughput"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    file = ROOT / done.stdout.splitlines()[-1].removeprefix("written to ")
    figures = json.loads(file.read_text())["scenarios"]["throughput"]["figures"]
    file.unlink()
    assert [figure["name"] for figure in figures][::3] == ["Asman, frames: jobs", "Asman, library: jobs"]
    assert all(len(figure["old"]) == len(figure["new"]) == 2 for figure in figures)
    assert all(value > 0 for figure in figures[::3] for value in (*figure["old"], *figure["new"]))
    # Processor time is counted in ticks of 10 ms, and so few jobs may take none.
    assert all(value >= 0 for figure in figures for value in (*figure["old"], *figure["new"]))


def test_make_hands_commit_scenarios_and_rounds_on() -> None:
    words = ["make", "--no-print-directory", "-n", "bench", "COMPARE=HEAD~2", "NAME=throughput depth", "ROUNDS=12"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == ".venv/bin/python -m bench.commits --rounds '12' -- 'HEAD~2' throughput depth"
    plain = subprocess.run(words[:4], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "bench.commits" not in plain
