"""Functions as jobs in a container that has Python and no Asman packages."""

from __future__ import annotations

from pathlib import Path

import pytest

import asman
from asman.calls import VERSION
from asman.logs import Line
from devtools.asman_processes import AsmanProcesses

UP = ("--queue", "boxes", "--drain-timeout", "0.1s", "--local-images", "asman-test/*")


def where() -> tuple[str, bool]:
    import sys
    from pathlib import Path

    print("from inside")
    return sys.prefix, Path("/opt/python/bin/python3").exists()


def test_a_function_runs_in_a_container_and_comes_back(
    processes: AsmanProcesses, python_image: str, tmp_path: Path
) -> None:
    hub = processes.hub(*UP, command="up")
    (tmp_path / "words.txt").write_text("one two three")
    lines: list[Line] = []
    with asman.Executor(
        hub.queue("boxes"), image=python_image, files=[tmp_path / "words.txt"], on_line=lines.append, cpus=0.5
    ) as executor:

        def words(more: int) -> int:
            from pathlib import Path

            return len(Path("/inputs/words.txt").read_text().split()) + more

        def fail() -> None:
            raise LookupError("nothing there")

        assert executor.submit(where).result(60) == ("/opt/python", True)
        assert list(executor.map(words, range(5), chunksize=5)) == [3, 4, 5, 6, 7]
        with pytest.raises(LookupError, match="nothing there") as caught:
            executor.submit(fail).result(60)
        assert "in fail" in str(caught.value.__cause__)
    assert [line.text for line in lines if line.stream == "stdout"] == ["from inside"]


def test_another_python_is_told_in_a_sentence(processes: AsmanProcesses, python_image: str) -> None:
    hub = processes.hub(*UP, command="up")
    with asman.Executor(hub.queue("boxes"), image=python_image, cpus=0.5) as executor:
        executor._base.command = [*executor._base.command[:-1], "2.7"]  # type: ignore[index]
        with pytest.raises(asman.JobFailed) as caught:
            executor.submit(where).result(60)
    assert caught.value.lines == [
        f"this function comes from Python 2.7, but the job's Python is {VERSION}: use the same version for both"
    ]
