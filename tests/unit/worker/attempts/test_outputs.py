"""What a job leaves is hostile until looked at."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from asman_shared import limits
from asman_worker.attempts import outputs
from asman_worker.attempts.outputs import scan


def test_regular_files_are_found_with_hash_size_type_and_mode(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "page.html").write_bytes(b"<p>")
    script = tmp_path / "run"
    script.write_bytes(b"")
    script.chmod(0o755)
    found = scan(tmp_path, 10**9)
    assert found.skipped == {}
    page = found.files["a/b/page.html"]
    assert (page.size, page.media_type, page.ref.type, page.ref.value) == (
        3,
        "text/html",
        "key",
        hashlib.sha256(b"<p>").hexdigest(),
    )
    assert found.files["run"].mode == 0o755


def test_links_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("s")
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").symlink_to(secret / "key")
    (out / "folder").symlink_to(secret)
    (out / "loop").symlink_to(out)
    (out / "nowhere").symlink_to("/no/such")
    found = scan(out, 10**9)
    assert found.files == {}
    assert set(found.skipped) == {"file", "folder", "loop", "nowhere"}
    assert all("link" in why for why in found.skipped.values())


def test_an_empty_folder_is_told_unless_patterns_leave_it_out(tmp_path: Path) -> None:
    (tmp_path / "logs" / "old").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "logs" / "new.txt").write_text("x")
    why = "an empty folder; only files are kept"
    assert scan(tmp_path, 10**9).skipped == {"empty/": why, "logs/old/": why}
    assert scan(tmp_path, 10**9, ["logs"]).skipped == {"logs/old/": why}
    assert scan(tmp_path, 10**9, ["logs/*.txt"]).skipped == {}


def test_pipes_and_sockets_are_skipped_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        found = scan(tmp_path, 10**9)
    assert found.files == {}
    assert found.skipped == {"pipe": "a pipe", "sock": "a socket"}


def test_a_folder_swapped_for_a_link_is_not_gone_through(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("s")
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d" / "x").write_text("mine")
    before = (out / "d" / "x").lstat()
    (out / "d").rename(out / "moved")
    (out / "d").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        outputs._describe(out, "d/x", before)


def test_a_file_that_changes_while_it_is_read_is_no_output(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("one")
    before = file.lstat()
    file.write_text("longer")
    with pytest.raises(OSError, match="changed"):
        outputs._describe(tmp_path, "x", before)


def test_a_pipe_swapped_in_for_a_file_does_not_hang(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("one")
    before = file.lstat()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(OSError, match="changed"):
        outputs._describe(tmp_path, "x", before)


def test_names_that_can_not_travel_are_skipped_and_said(tmp_path: Path) -> None:
    for raw in (b"\xff\xfe", b"new\nline", b"fine"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + raw)).write_bytes(b"x")
    found = scan(tmp_path, 10**9)
    assert list(found.files) == ["fine"]
    assert set(found.skipped) == {"\\xff\\xfe", "new\\nline"}
    for name in found.skipped:
        name.encode()


def test_the_bound_on_bytes_holds_for_sparse_files_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"small")
    with (tmp_path / "b").open("wb") as out:
        out.truncate(2**40)
    found = scan(tmp_path, 10**6)
    assert list(found.files) == ["a"]
    assert "of outputs" in found.skipped["b"]


def test_the_bound_on_files_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INPUTS", 3)
    for number in range(5):
        (tmp_path / str(number)).touch()
    found = scan(tmp_path, 10**6)
    assert list(found.files) == ["0", "1", "2"]
    assert set(found.skipped) == {"3", "4"}


def test_folders_without_end_end(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(70):
        path = path / "d"
        path.mkdir()
    found = scan(tmp_path, 10**6)
    assert [why for why in found.skipped.values() if "deeper" in why]


def test_a_folder_that_can_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ok").write_text("x")
    (tmp_path / "closed").mkdir()
    whole = outputs._open_folder

    def refuse(folder: Path, prefix: str) -> int:
        if prefix.startswith("closed"):
            raise PermissionError(13, "Permission denied")
        return whole(folder, prefix)

    monkeypatch.setattr(outputs, "_open_folder", refuse)
    found = scan(tmp_path, 10**6)
    assert list(found.files) == ["ok"]
    assert found.skipped == {"closed/": "it can't be read: Permission denied"}


def test_patterns_choose_and_what_they_leave_out_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    for name in ("a.csv", "b.log", "plots/a.png"):
        (tmp_path / name).write_text(name)
    (tmp_path / "c.csv").symlink_to("a.csv")
    (tmp_path / "d.log").symlink_to("b.log")
    found = scan(tmp_path, 10**6, ["*.csv", "plots", "*.parquet"])
    assert list(found.files) == ["a.csv", "plots/a.png"]
    assert found.skipped == {
        "c.csv": "a link; links are not followed",
        "*.parquet": "no file matches this pattern",
    }


def test_what_patterns_leave_out_takes_nothing_of_the_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INPUTS", 1)
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").write_bytes(b"x" * 10)
    found = scan(tmp_path, 10, ["b"])
    assert list(found.files) == ["b"]
    assert found.skipped == {}


def test_unicode_names_stay_as_they_are(tmp_path: Path) -> None:
    names = ["größe.txt", "数据/値.csv", "e\u0301", "a b", "-rf", "🙂"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert set(scan(tmp_path, 10**6).files) == set(names)


def test_ten_thousand_small_files_are_within_the_bounds(tmp_path: Path) -> None:
    for number in range(limits.INPUTS):
        (tmp_path / f"{number}").write_bytes(b"%d" % (number % 10))
    found = scan(tmp_path, 10**6)
    assert len(found.files) == limits.INPUTS
    assert found.skipped == {}


def test_a_path_that_is_too_long_to_travel_is_skipped_and_said(tmp_path: Path) -> None:
    part = "d" * 250
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(5):
        os.mkdir(part, dir_fd=at)
        inner = os.open(part, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    found = scan(tmp_path, 10**6)
    assert found.files == {}
    ((name, why),) = found.skipped.items()
    assert name.startswith(part[:100])
    assert "is longer than 1024 bytes" in why
