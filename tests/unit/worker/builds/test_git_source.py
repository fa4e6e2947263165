"""Repositories that jobs name: a ref becomes a commit, and a commit becomes files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_shared.errors import ExecutionError
from asman_shared.transfer.address_guard import AddressGuard
from asman_worker.builds.git import GitError
from asman_worker.builds.git_source import Repositories, _failure, _readings, _tree, _Visit
from asman_worker.builds.source import GitSource
from asman_worker.images.rules import ImageRules
from tests.support.git_server import GitServer, running_git_server
from tests.support.http_proxy import http_proxy


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with running_git_server(tmp_path / "served") as made:
        yield made


@pytest.fixture
def repositories() -> Repositories:
    return Repositories(AddressGuard(["127.0.0.1"]), most=10_000_000)


async def resolved(repositories: Repositories, tmp_path: Path, source: GitSource) -> tuple[str, str]:
    return await repositories.resolve(source, tmp_path / "asked")


async def test_branches_tags_and_the_default_branch_are_resolved_to_commits(
    server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    source = server.repository("r")
    first = source.commit({"a": "1"})
    source.git("tag", "-a", "v1", "-m", "v1")
    source.git("branch", "feature/x")
    second = source.commit({"a": "2"})
    url = f"{server.base}/r/.git"
    for ref, commit in (("", second), ("main", second), ("v1", first), ("feature/x", first)):
        assert await resolved(repositories, tmp_path, GitSource(url, ref, "sub")) == (commit, "sub")
    for page, found in (("feature/x/docs", (first, "docs")), ("main", (second, "")), ("main/a/b", (second, "a/b"))):
        assert await resolved(repositories, tmp_path, GitSource(url, page=page)) == found


async def test_a_whole_commit_is_not_asked_about(repositories: Repositories, tmp_path: Path) -> None:
    source = GitSource("https://nowhere.invalid/r", "a" * 40, "sub")
    assert await resolved(repositories, tmp_path, source) == ("a" * 40, "sub")


async def test_a_ref_that_is_not_there_is_named(server: GitServer, repositories: Repositories, tmp_path: Path) -> None:
    server.repository("r").commit({"a": "1"})
    with pytest.raises(ExecutionError, match="has no branch or tag 'none'"):
        await resolved(repositories, tmp_path, GitSource(f"{server.base}/r/.git", "none"))


async def test_a_host_that_the_operator_does_not_name_is_not_asked(server: GitServer, tmp_path: Path) -> None:
    server.repository("r").commit({"a": "1"})
    with pytest.raises(ExecutionError):
        await resolved(Repositories(AddressGuard(), most=10**7), tmp_path, GitSource(f"{server.base}/r/.git"))
    assert server.asked == []


async def test_where_an_address_leads_and_what_a_repository_brings_are_judged_too(
    server: GitServer, tmp_path: Path
) -> None:
    inner = server.repository("inner")
    part = inner.commit({"a": "1"})
    outer = server.repository("outer")
    outer.commit({".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = {server.base}/inner/.git\n'})
    outer.git("update-index", "--add", "--cacheinfo", f"160000,{part},x")
    outer.git("commit", "-m", "a submodule")
    commit = outer.git("rev-parse", "HEAD").strip()
    denied = ImageRules(deny=[f"build:{server.base}/inner/*"])
    for number, (rules, fits) in enumerate(((ImageRules(), True), (denied, False))):
        made = Repositories(AddressGuard(["127.0.0.1"]), most=10_000_000, rules=rules)
        (folder := tmp_path / f"fetched-{number}").mkdir()
        if fits:
            assert len(await made.fetch(f"{server.base}/outer/.git", commit, folder)) == 2
            continue
        with pytest.raises(ExecutionError, match="deny-image"):
            await made.fetch(f"{server.base}/outer/.git", commit, folder)
        with pytest.raises(ExecutionError, match="deny-image"):
            await made.resolve(GitSource(f"{server.base}/moved/inner/.git", "main"), tmp_path / "asked")


async def test_no_proxy_is_asked_for_a_repository_since_it_would_choose_the_address_itself(
    server: GitServer, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.repository("r").commit({"a": "1"})
    async with http_proxy(9) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert await resolved(repositories, tmp_path, GitSource(f"{server.base}/r/.git")) == (commit, "")
        assert proxy.asked == []


async def test_only_web_addresses_are_repositories(repositories: Repositories, tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="not at an https:// address"):
        await resolved(repositories, tmp_path, GitSource("file:///etc"))


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("main", [("main", "")]),
        ("a/b/c", [("a", "b/c"), ("a/b", "c"), ("a/b/c", "")]),
        ("-x/y", []),
        ("a/../b", [("a", "../b")]),
    ],
)
def test_a_page_is_read_in_every_way_that_can_be(page: str, found: list[tuple[str, str]]) -> None:
    assert list(_readings(page)) == found


def test_a_page_has_a_bounded_number_of_readings() -> None:
    assert len(list(_readings("/".join("a" * 500)))) == 10


def test_an_address_of_a_submodule_may_be_relative(tmp_path: Path) -> None:
    visit = _Visit("https://h/o/r", "c", tmp_path)
    inner = visit.into("lib", "../other", "d")
    assert (inner.url, inner.prefix, inner.depth, inner.commit) == ("https://h/o/other", "lib/", 1, "d")
    assert inner.into("deep", "https://else/x", "e").prefix == "lib/deep/"
    assert inner.into("deep", "https://else/x", "e").url == "https://else/x"


def test_a_tree_is_read_whatever_its_names() -> None:
    listed = "100644 blob aa\ta b\n\tc\x00160000 commit bb\tlib\x00nonsense\x00"
    assert list(_tree(listed)) == [("100644", "aa", "a b\n\tc"), ("160000", "bb", "lib")]


@pytest.mark.parametrize(
    ("words", "fault", "says"),
    [
        ("could not read Username for 'https://h'", "job", "is private or does not exist"),
        ("The requested URL returned error: 403", "job", "is private or does not exist"),
        ("Connection timed out", "worker", "can't be read"),
        ("Could not resolve host: h", "worker", "can't be read"),
        ("The requested URL returned error: 502", "worker", "can't be read"),
        ("not a git repository", "job", "can't be read"),
    ],
)
def test_a_failure_that_may_pass_is_not_the_jobs_fault(words: str, fault: str, says: str) -> None:
    error = _failure("https://h/r", GitError(words))
    assert (error.fault, says in error.message) == (fault, True)
