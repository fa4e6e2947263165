"""Parses the source of a build: the forms of ``build.context``.

- ``key:<sha256>``: an archive that was uploaded as a blob, such as a folder packed by the client.
- ``https://host/path.git``, ``…#ref``, ``…#ref:subfolder``, ``git+https://…``, and the pages of a repository that
  people copy from their browser (``…/tree/<ref>/<subfolder>``, ``…/commit/<id>``): a git repository.
- any other ``https://`` address: an archive, recognised by its content and not by its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from asman_shared.definition import SHA256
from asman_shared.errors import BadDefinition
from asman_shared.public_addresses import malformed

FIELD: Final = "definition.build.context"

_LENGTH: Final = 4096
_FORGES: Final = frozenset({"github.com", "gitlab.com", "codeberg.org", "bitbucket.org", "gitea.com", "sr.ht"})
_ARCHIVE: Final = re.compile(r"\.(tar|tgz|tbz2|txz|zip|tar\.(gz|bz2|xz))$|/(archive|tarball|zipball)/", re.IGNORECASE)
_NEEDLESS: Final = re.compile(r"%(?:2[dDeE]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9aA]|5[fF]|7[eE])")
"""Escapes of characters that stand for themselves; rules of the operator are for addresses as they are written."""
_PAGE: Final = re.compile(r"(?P<repo>/.+?)/(?:-/)?(?P<kind>tree|commit|src/branch|src/commit|src)/(?P<rest>.+)")
_REF: Final = re.compile(r"(?!-)(?!.*(\.\.|@\{|//))[^\x00-\x20~^:?*\[\\\x7f]{1,255}(?<!\.lock)(?<![/.])")


@dataclass(frozen=True, slots=True)
class BlobSource:
    """An archive in the hub's blob store."""

    sha256: str

    def __str__(self) -> str:
        return f"key:{self.sha256}"


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """An archive at an ``https://`` address."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class GitSource:
    """A git repository.

    Attributes:
        url: Address of the repository.
        ref: A branch, a tag or a whole commit; empty for the default branch.
        subfolder: The folder to build; empty for all.
        page: Ref and subfolder joined, from a page's address, when only the repository can tell where the ref ends.
    """

    url: str
    ref: str = ""
    subfolder: str = ""
    page: str = ""

    def __str__(self) -> str:
        return self.url


Source = BlobSource | ArchiveSource | GitSource


def parse_source(text: str) -> Source:
    """Reads a build's context.

    Raises:
        BadDefinition: The context has none of these forms.
    """
    text = text.strip()
    if len(text) > _LENGTH:
        raise BadDefinition(f"the build's context is longer than {_LENGTH} characters", field=FIELD)
    if text.startswith("key:"):
        if SHA256.fullmatch(text[4:]) is None:
            raise BadDefinition(
                "after 'key:' must come the sha256 of an uploaded archive, 64 lowercase hex digits", field=FIELD
            )
        return BlobSource(text[4:])
    wanted, address = text.startswith("git+"), text.removeprefix("git+")
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise BadDefinition("the build's context is not a valid address", field=FIELD) from None
    if parts.scheme not in ("https", "http") or not host:
        raise BadDefinition(
            "a build's context must be an https:// address of a git repository or an archive, or key:<sha256> of an "
            "uploaded archive",
            field=FIELD,
        )
    if (why := malformed(address)) is not None:
        raise BadDefinition(f"the build's context is not a valid address: {why}", field=FIELD)
    if parts.username or parts.password:
        raise BadDefinition(
            "a build's context must not hold a name, a password or a token: everyone who sees the job could use it. "
            "Leave it out; for a private repository, whoever runs the worker gives the worker the login "
            "(--git-credentials FILE) for this source (--git-credentials-for "
            f"'build:https://{_authority(parts.scheme, host, parts.port)}{_owner(parts.path)}/*')",
            field=FIELD,
        )
    if any(part in (".", "..") for part in unquote(parts.path).replace("\\", "/").split("/")):
        # Rules and bindings are for addresses as they are written, and '..' would lead elsewhere.
        raise BadDefinition("the build's context must not have '.' or '..' in its path", field=FIELD)
    parts = parts._replace(netloc=_authority(parts.scheme, host, parts.port))
    bare = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), parts.query, ""))
    page = None if parts.path.endswith(".git") else _PAGE.fullmatch(parts.path.rstrip("/"))
    named = parts.path if page is None else page["repo"].rstrip("/")
    if "//" in named or _NEEDLESS.search(named):
        raise BadDefinition(
            "the build's context must be written plainly: no empty parts in its path, and no letters, digits, '-', "
            "'.', '_' or '~' as %XX",
            field=FIELD,
        )
    if not wanted and _ARCHIVE.search(parts.path):
        return ArchiveSource(urlunsplit((*parts[:4], "")))
    if page is not None and (wanted or host in _FORGES):
        repo = urlunsplit((parts.scheme, parts.netloc, page["repo"].rstrip("/"), "", ""))
        rest = unquote(page["rest"])
        if page["kind"].endswith("commit"):
            commit, _, below = rest.partition("/")
            return GitSource(repo, _ref(commit), below)
        return GitSource(repo, page=rest)
    if wanted or parts.fragment or parts.path.endswith(".git") or host in _FORGES:
        ref, _, below = unquote(parts.fragment).partition(":")
        return GitSource(bare, _ref(ref) if ref else "", below.strip("/"))
    return ArchiveSource(urlunsplit((*parts[:4], "")))


def _owner(path: str) -> str:
    """Returns the part of a repository's path that names its owner, for a sentence."""
    first = path.strip("/").partition("/")[0]
    return f"/{first}" if re.fullmatch(r"[\w.-]{1,80}", first) else "/owner"


def _authority(scheme: str, host: str, port: int | None) -> str:
    """Returns host and port in their only form: in small letters, without the scheme's own port."""
    shown = f"[{host}]" if ":" in host else host.rstrip(".")
    return shown if port in (None, {"https": 443, "http": 80}[scheme]) else f"{shown}:{port}"


def _ref(text: str) -> str:
    if _REF.fullmatch(text) is None:
        raise BadDefinition(f"'{text[:80]}' is not a branch, tag or commit", field=FIELD)
    return text


def check_ref(text: str) -> bool:
    """Whether a text may be the name of a branch, tag or commit."""
    return _REF.fullmatch(text) is not None
