"""Git on untrusted repositories: nothing of theirs is obeyed, and nothing grows without limit."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.builds import git as module
from asman_worker.builds.git import Git, GitError
from tests.support.git_server import Repository

MOST = 10_000_000


@pytest.fixture
async def bare(tmp_path: Path) -> Git:
    made = Git(tmp_path / "bare", most=MOST)
    await made.begin()
    return made


async def fetched(tmp_path: Path, files: dict[str, str]) -> tuple[Git, str]:
    """A bare repository with a commit, put there without a protocol."""
    commit = Repository(tmp_path / "source").commit(files)
    made = Git(tmp_path / "bare", most=MOST)
    await made.begin()
    shutil.copytree(tmp_path / "source" / ".git" / "objects", tmp_path / "bare" / "objects", dirs_exist_ok=True)
    return made, commit


async def test_a_command_says_its_answer(bare: Git) -> None:
    assert (await bare.run("rev-parse", "--is-bare-repository")).strip() == "true"


async def test_a_command_that_fails_says_its_last_words_without_their_prefix(bare: Git) -> None:
    with pytest.raises(GitError) as caught:
        await bare.run("cat-file", "-e", "0" * 40 + "^{commit}")
    assert not caught.value.words.startswith("fatal:")
    assert caught.value.words


@pytest.mark.parametrize("url", ["file:///", "ext::sh -c touch% /tmp/x", "ssh://h/x", "git://h/x", "http://h/x"])
async def test_only_https_is_spoken(bare: Git, tmp_path: Path, url: str) -> None:
    Repository(tmp_path / "source").commit({"a": "1"})
    with pytest.raises(GitError, match="not allowed"):
        await bare.run("ls-remote", url.replace("file:///", f"file://{tmp_path}/source"))


async def test_http_is_spoken_where_the_operator_allows_it(bare: Git) -> None:
    bare.allow_http()
    bare.pin("h.invalid", 9, ["127.0.0.1"])
    with pytest.raises(GitError) as caught:
        await bare.run("ls-remote", "http://h.invalid:9/x")
    assert "not allowed" not in caught.value.words


async def test_hooks_and_settings_of_a_repository_are_not_obeyed(tmp_path: Path) -> None:
    git, commit = await fetched(tmp_path, {"a": "1"})
    ran = tmp_path / "ran"
    hook = tmp_path / "bare" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    await git.run("update-ref", "refs/heads/x", commit)
    assert not ran.exists()


async def test_settings_of_the_user_are_not_obeyed(tmp_path: Path, bare: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = somebody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'user.name=somebody'")
    with pytest.raises(GitError):
        await bare.run("config", "user.name")


async def test_files_are_archived_as_they_are_committed(tmp_path: Path) -> None:
    files = {".gitattributes": "a export-ignore\nb export-subst\n", "a": "kept", "b": "$Format:%H$"}
    git, commit = await fetched(tmp_path, files)
    await git.run("archive", "--format=tar", commit, output=tmp_path / "files.tar")
    with tarfile.open(tmp_path / "files.tar") as archive:
        found = {name: archive.extractfile(name).read().decode() for name in ("a", "b")}  # type: ignore[union-attr]
    assert found == {"a": "kept", "b": "$Format:%H$"}


async def test_a_repository_that_grows_too_large_is_stopped(tmp_path: Path) -> None:
    git, commit = await fetched(tmp_path, {"a": os.urandom(50_000).hex()})
    small = Git(tmp_path / "bare", most=1000)
    with pytest.raises(ExecutionError, match="larger than"):
        await small.run("archive", "--format=tar", commit, output=tmp_path / "files.tar")
    await git.run("archive", "--format=tar", commit, output=tmp_path / "files.tar")


async def test_an_answer_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git, commit = await fetched(tmp_path, {"a": "x" * 200_000})
    monkeypatch.setattr(module, "_OUTPUT", 1000)
    assert await git.run("cat-file", "blob", f"{commit}:a") == "x" * 1000


async def test_a_machine_without_git_is_the_workers_fault(
    bare: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutionError, match="git is not installed") as caught:
        await bare.run("version")
    assert caught.value.fault == "worker"


def test_addresses_of_both_kinds_are_pinned_as_curl_reads_them(tmp_path: Path) -> None:
    git = Git(tmp_path, most=1)
    git.pin("h", 443, ["1.2.3.4", "2001:db8::1"])
    assert git._settings[-1] == "http.curloptResolve=h:443:1.2.3.4,[2001:db8::1]"
