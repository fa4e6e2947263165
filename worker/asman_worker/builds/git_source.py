"""Fetches the files of a git repository at one commit; a ref is first resolved to its commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

from asman_shared.errors import AsmanError, BadDefinition, BadRequest, ExecutionError
from asman_shared.transfer import Http
from asman_shared.transfer.address_guard import AddressGuard

from ..images.rules import ImageRules
from .context import Part
from .git import Git, GitError
from .source import GitSource, check_ref, parse_source
from .source_patterns import SourcePattern, any_names

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SUBMODULES: Final = 50
_DEPTH: Final = 5
_STALL_SECONDS: Final = 60.0
_PASSING: Final = ("timed out", "could not resolve", "failed to connect", "error: 5", "reset")


@dataclass(frozen=True, slots=True)
class _Visit:
    """One repository while its submodules are visited."""

    url: str
    commit: str
    folder: Path
    prefix: str = ""
    depth: int = 0
    signed: bool = False

    def into(self, path: str, url: str, commit: str) -> _Visit:
        """Returns the visit of a submodule, whose address may be relative to this repository's."""
        inner = urljoin(f"{self.url}/", url) if url.startswith(("./", "../")) else url
        return _Visit(inner, commit, self.folder, f"{self.prefix}{path}/", self.depth + 1, self.signed)


class Repositories:
    """Fetches git repositories that jobs name.

    Args:
        guard: Checks their addresses.
        most: Largest size of one repository, and of its files, in bytes.
        credentials: A file of ``git credential-store``.
        private: The repositories that the credentials are for, as ``build:PATTERN``.
        rules: The operator's rules, for where a repository's address leads and for submodules.

    Raises:
        BadRequest: A pattern can't be read, or there are credentials without patterns or patterns without credentials.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        most: int,
        credentials: Path | None = None,
        private: Sequence[str] = (),
        rules: ImageRules | None = None,
    ) -> None:
        self._rules = rules or ImageRules()
        self._guard = guard
        self._most = most
        self._credentials = credentials
        self._private = tuple(SourcePattern.parse(text, "git_credentials_for") for text in private)
        if credentials is not None and not private:
            raise BadRequest(
                f"the logins in {credentials} are for no repository, so no build would use them: say which ones every "
                "submitter may build, such as --git-credentials-for 'build:https://host/owner/*'",
                field="git_credentials",
            )
        if private and credentials is None:
            raise BadRequest(
                "--git-credentials-for says what logins are for: name their file by --git-credentials",
                field="git_credentials_for",
            )

    async def resolve(self, source: GitSource, folder: Path, *, own_dockerfile: bool = True) -> tuple[str, str]:
        """Asks the repository for the present commit of a ref; returns the commit and the subfolder.

        Args:
            source: The repository, ref and subfolder.
            folder: An empty folder for it.
            own_dockerfile: Whether the Dockerfile is the repository's; a private one is not for others.

        Raises:
            ExecutionError: There is no such repository or ref, or it can't be reached.
        """
        if _COMMIT.fullmatch(source.ref):
            return source.ref, source.subfolder
        url, git = await self._open(source.url, folder, signed=own_dockerfile)
        wanted = {source.ref: source.subfolder} if not source.page else dict(_readings(source.page))
        patterns = [f"refs/{kind}/{ref}" for ref in wanted for kind in ("heads", "tags")] if any(wanted) else ["HEAD"]
        try:
            listed = await git.run("ls-remote", "--quiet", url, *patterns, *(f"{each}^{{}}" for each in patterns))
        except GitError as error:
            raise _failure(source.url, error) from error
        lines = (line.partition("\t") for line in listed.splitlines())
        refs = {name: commit for commit, _, name in lines}
        # The longest candidate first: a branch may have slashes in its name.
        for ref in sorted(wanted, key=len, reverse=True):
            if _COMMIT.fullmatch(ref):
                return ref, wanted[ref]
            names = [f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"] if ref else ["HEAD"]
            if source.page:
                names = [names[2], *names[:2]]
            for name in names:
                if (commit := refs.get(name)) is not None and _COMMIT.fullmatch(commit):
                    return commit, wanted[ref]
        raise ExecutionError(
            f"'{source.url}' has no branch or tag '{source.ref or source.page or 'HEAD'}' (write a commit in full)"
        )

    async def fetch(self, url: str, commit: str, folder: Path, *, own_dockerfile: bool = True) -> list[Part]:
        """Fetches the files of a commit and of its submodules, as archives in a folder.

        The worker signs in for submodules only if it may for the repository itself: a stranger's repository must not
        bring a private one.

        Raises:
            ExecutionError: The files can't be fetched, or are too large.
        """
        found: list[Part] = []
        signed = own_dockerfile and any_names(self._private, url)
        await self._fetch(_Visit(url, commit, folder, signed=signed), found)
        return found

    async def _fetch(self, visit: _Visit, found: list[Part]) -> None:
        if visit.depth > _DEPTH or len(found) >= _SUBMODULES:
            raise ExecutionError(f"the repository has more than {_SUBMODULES} submodules, or deeper than {_DEPTH}")
        if visit.depth and self._rules.strict:
            self._rules.check_submodule(_plain(visit.url))
        number = len(found)
        real, git = await self._open(visit.url, visit.folder / f"repository-{number}", signed=visit.signed)
        archive = visit.folder / f"files-{number}.tar"
        commit = visit.commit
        try:
            await _bring(git, real, commit)
            await git.run("archive", "--format=tar", commit, output=archive)
            found.append(Part(archive, visit.prefix))
            listed = await git.run("ls-tree", "-r", "-z", "--full-tree", commit)
            links = {path: sha for mode, sha, path in _tree(listed) if mode == "160000"}
            urls = await _modules(git, commit) if links else {}
        except GitError as error:
            raise _failure(visit.url, error) from error
        for path, sha in links.items():
            if path in urls:
                await self._fetch(visit.into(path, urls[path], sha), found)

    async def _open(self, url: str, folder: Path, *, signed: bool) -> tuple[str, Git]:
        """Makes a repository to fetch into, bound to the addresses that were checked.

        Args:
            url: Its address.
            folder: The folder for it.
            signed: Whether the worker may sign in, if it has a login for this address and where that leads.
        """
        asked = url
        url, judged = await self._located(url)
        if url != asked and self._rules.strict:
            self._rules.check_build(_plain(url))
        host, port, addresses = judged
        signed = signed and all(any_names(self._private, each) for each in (asked, url))
        git = Git(folder, most=self._most, credentials=self._credentials if signed else None)
        if urlsplit(url).scheme == "http":
            git.allow_http()
        git.pin(host, port, addresses)
        if not (folder / "HEAD").exists():
            await git.begin()
        return url, git

    async def _located(self, url: str) -> tuple[str, tuple[str, int, list[str]]]:
        """Finds the final address of a repository and checks each redirect: git itself follows none."""
        if urlsplit(url).scheme not in ("https", "http"):
            raise ExecutionError(f"the repository '{url[:200]}' is not at an https:// address")
        http = Http(guard=self._guard.check, resolver=self._guard.resolver, proxied=self._guard.trusts)
        try:
            asked = f"{url}/info/refs?service=git-upload-pack"
            async with http.get(asked, {}, _STALL_SECONDS) as answer:
                moved, found, _ = str(answer.url).partition("/info/refs")
        except ExecutionError:
            raise
        except AsmanError as error:
            fault = "worker" if error.retry else "job"
            raise ExecutionError(f"the repository '{url}' can't be reached: {error.message}", fault=fault) from error
        finally:
            await http.close()
        if found:
            url = moved
        return url, await self._guard.locate(url)


def _plain(url: str) -> str:
    """Returns an address that a server or a repository named in the form that rules are written for.

    Raises:
        ExecutionError: It is not written plainly.
    """
    try:
        return str(parse_source(f"git+{url}"))
    except BadDefinition as error:
        raise ExecutionError(f"the repository '{url[:200]}': {error.message}") from None


def _readings(page: str) -> Iterator[tuple[str, str]]:
    """Splits ``a/b/c`` into a ref and a subfolder: ``a`` and ``b/c``, ``a/b`` and ``c``, ``a/b/c`` and none."""
    parts = page.split("/")
    for end in range(1, min(len(parts), 10) + 1):
        if check_ref(ref := "/".join(parts[:end])):
            yield ref, "/".join(parts[end:])


async def _bring(git: Git, url: str, commit: str) -> None:
    """Fetches only one commit; or the whole repository, if the server serves only named commits."""
    try:
        await git.run("fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head", url, commit)
    except GitError:
        everything = ("+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*")
        await git.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", url, *everything)
        try:
            await git.run("cat-file", "-e", f"{commit}^{{commit}}")
        except GitError:
            raise ExecutionError(f"'{url}' has no commit {commit}") from None


def _tree(listed: str) -> Iterator[tuple[str, str, str]]:
    """Yields mode, object and path of each entry of ``ls-tree -z``."""
    for line in listed.split("\0"):
        about, tab, path = line.partition("\t")
        words = about.split()
        if tab and len(words) == 3:
            yield words[0], words[2], path


async def _modules(git: Git, commit: str) -> dict[str, str]:
    """Returns the addresses of submodules by path."""
    try:
        listed = await git.run("config", f"--blob={commit}:.gitmodules", "--null", "--list")
    except GitError:
        return {}
    paths: dict[str, str] = {}
    urls: dict[str, str] = {}
    for line in listed.split("\0"):
        key, _, value = line.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        (paths if what == "path" else urls if what == "url" else {})[name] = value
    return {path: urls[name] for name, path in paths.items() if name in urls}


def _failure(url: str, error: GitError) -> ExecutionError:
    words = error.words.lower()
    if "could not read username" in words or "authentication failed" in words or "403" in words:
        return ExecutionError(
            f"the repository '{url}' is private or does not exist (a worker can sign in, for builds with the "
            "repository's own Dockerfile: --git-credentials)"
        )
    passing = any(word in words for word in _PASSING)
    return ExecutionError(f"the repository '{url}' can't be read: {error.words}", fault="worker" if passing else "job")
