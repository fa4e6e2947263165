"""Which jobs name the folders of a container, and whether this machine can give them to processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Definition
from asman_worker.execution import job_paths, job_root
from asman_worker.execution.job_paths import names_folders, try_out


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        (True, {"command": "cat /inputs/x"}),
        (True, {"command": ["sh", "-c", "ls >/outputs/list"]}),
        (True, {"entrypoint": ["/inputs/run"]}),
        (True, {"env": {"DATA": "/job-cache"}, "command": "x"}),
        (True, {"workdir": "/outputs", "command": "x"}),
        (False, {"command": "cat $JOB_INPUTS/x /srv/inputs /inputs-of-mine ./outputs"}),
        (False, {}),
    ],
)
def test_a_job_names_the_folders_in_its_command_its_variables_or_its_working_folder(
    named: bool, fields: dict[str, Any]
) -> None:
    assert names_folders(Definition(**fields)) is named


def test_small_input_files_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Definition(command="sh run.sh")
    (tmp_path / "deep").mkdir()
    script = tmp_path / "deep" / "run.sh"
    script.write_text("echo")
    assert not names_folders(job, tmp_path)
    script.write_bytes(b"\xff\0 wc < /inputs/x")
    assert names_folders(job, tmp_path)
    script.write_bytes(b"/inputs/x".rjust(job_paths._READ + 1))
    assert not names_folders(job, tmp_path)
    script.unlink()
    script.symlink_to("/proc/self/environ")
    assert not names_folders(job, tmp_path)


def test_a_machine_that_can_leaves_nothing_of_the_trial_in_its_own_root(tmp_path: Path) -> None:
    if why := try_out(tmp_path / "trial"):
        pytest.skip(f"this machine can't: {why}")
    assert not Path("/outputs/made").exists()
    assert list((tmp_path / "trial" / "root").iterdir()) == []
    assert list((tmp_path / "trial").glob("plan*")) == []


def test_what_the_system_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a user namespace without capabilities in it, no mount namespace can be made."""
    usual = subprocess.run

    def without_rights(words: list[str], **more: Any) -> Any:
        unable = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *words]
        return usual(unable, **more)

    monkeypatch.setattr(subprocess, "run", without_rights)
    said = try_out(tmp_path / "trial")
    if not said:
        pytest.skip("this user needs no rights for it")
    assert "a mount namespace can't be made" in said


def test_a_plan_that_can_t_be_carried_out_says_why_on_its_descriptor(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-S", job_root.__file__, str(tmp_path / "none.json"), "1"],
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, b"No such file or directory" in ran.stdout) == (job_root.FAILED, True)
