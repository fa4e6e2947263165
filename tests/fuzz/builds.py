"""The doors of builds: archives, Dockerfiles, rules of files to leave out, and addresses of sources."""

from __future__ import annotations

import io
import re
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asman.outputs import _inside
from asman_shared.dockerignore import DockerIgnore
from asman_shared.errors import AsmanError
from asman_worker.builds import dockerfile
from asman_worker.builds.archives import Bounds
from asman_worker.builds.context import Part, Wanted, pack
from asman_worker.builds.source import GitSource, parse_source
from tests.fuzz.door import Door, Fault

_KINDS = {
    "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE, "sparse": tarfile.GNUTYPE_SPARSE,
}  # fmt: skip


def expect(holds: bool, sentence: str) -> None:
    """Checks what must hold."""
    if not holds:
        raise Fault(sentence)


class Archives(Door):
    """Archives of a build's files, and names of outputs.

    An input is ``{format, entries: [{kind, name, target, text, mode}], cut, damage: {place: byte}}``.
    """

    name = "archives"
    form = "json"
    words = (
        "..", "../", "/etc/x", "a/../../b", "x/../../../b",
        "./", "a\\b", "C:\\x", "link", "hardlink", "folder", "file", "zip", "tar",
        "tar.gz", "tar.bz2", "tar.xz", "pipe", "device", "sparse", ".dockerignore", "Dockerfile", "target", "\0",
    )  # fmt: skip
    _bounds = Bounds(256 * 1024, 200)

    @contextmanager
    def opened(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="asman-fuzz-") as folder:
            self._folder = Path(folder)
            (self._folder / "outputs").mkdir()
            yield

    def check(self, given: Any) -> None:
        for entry in _entries(given):
            with suppress(AsmanError):
                to = _inside(self._folder / "outputs", str(entry.get("name")))
                expect(
                    to.resolve().is_relative_to((self._folder / "outputs").resolve()), f"an output is written to {to}"
                )
        try:
            data = packed(given)
        except (ValueError, TypeError, OverflowError, AttributeError, struct.error):
            return  # no archive has this form
        path = self._folder / "archive"
        path.write_bytes(data)
        out = io.BytesIO()
        try:
            pack([Part(path)], Wanted(dockerfile="FROM scratch"), self._bounds, out)
        except AsmanError as error:
            expect(bool(error.message), "a refusal says nothing")
            return
        finally:
            kept = sorted(each.name for each in self._folder.iterdir())
            expect(kept == ["archive", "outputs"], f"files were left: {kept}")
        size = 0
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            for member in tar:
                expect(_stays(member.name, ""), f"the name '{member.name}' leads out")
                if member.issym() and not member.linkname.startswith("/"):
                    expect(_stays(member.linkname, member.name), f"the link '{member.name}' leads out")
                if member.islnk():
                    expect(_stays(member.linkname, ""), f"the hard link '{member.name}' leads out")
                size += member.size
        expect(size <= self._bounds.size, f"{size} bytes were packed")


def _entries(given: Any) -> list[dict[str, Any]]:
    listed = given.get("entries") if isinstance(given, dict) else None
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def packed(given: Any) -> bytes:
    """Returns the bytes of an archive that an input describes."""
    out = io.BytesIO()
    form = given.get("format")
    if form == "zip":
        warnings.filterwarnings("ignore", "Duplicate name", UserWarning)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for each in _entries(given):
                info = zipfile.ZipInfo(each.get("name", "x"))
                info.create_system = 0 if each.get("windows") else 3
                kind = {"link": 0o120000, "pipe": 0o010000}.get(str(each.get("kind")), 0o100000)
                info.external_attr = (kind | (int(each.get("mode", 0o644)) & 0o777)) << 16
                text = each.get("target", "") if each.get("kind") == "link" else each.get("text", "")
                made.writestr(info, text)
    else:
        ways: dict[Any, Any] = {"tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
        with tarfile.open(fileobj=out, mode=ways.get(form if isinstance(form, str) else "", "w")) as tar:
            for each in _entries(given):
                info_ = tarfile.TarInfo(each.get("name", "x"))
                info_.type = _KINDS.get(str(each.get("kind")), tarfile.REGTYPE)
                info_.mode = int(each.get("mode", 0o644)) & 0o7777
                info_.linkname = each.get("target", "")
                body = each.get("text", "").encode()
                info_.size = len(body)
                tar.addfile(info_, io.BytesIO(body))
    data = bytearray(out.getvalue())
    for place, byte in dict(given.get("damage") or {}).items():
        data[int(place) % len(data)] = int(byte) % 256
    cut = given.get("cut")
    return bytes(data[:cut] if isinstance(cut, int) and not isinstance(cut, bool) else data)


def _stays(path: str, beside: str) -> bool:
    """Whether a path stays inside, step by step, from the folder of another."""
    depth = beside.count("/")
    for part in path.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return False
    return not path.startswith("/")


class Dockerfiles(Door):
    """Dockerfiles: the sources stay the same whatever harmless form the text has, and the text for the engine has no
    others.
    """

    name = "dockerfiles"
    words = (
        "FROM ", "\nFROM a AS b\n", "\nCOPY --from=b /x /y\n", "\nCOPY --from=image /x /y\n",
        "ADD https://h.example/f /",
        "\nADD ", "ARG v=1\n", "ENV n=v\n", "${v:-x}", "${v", "$v", "\\\n", " \\\n", "`\n", "# escape=`\n", "#a= ",
        "\rADD https://h.example/g /\r", "\r\n", "ONBUILD ", "RUN ", "<<EOF\n", '["a", "b"]', "--platform=linux/arm64 ",
        "\ufeff", "${a:-${a:-", "scratch", "\x85", "\n\n",
    )  # fmt: skip

    def check(self, given: Any) -> None:
        sources, made = self._sources(given)
        for told, other in self._rewritten(given):
            again, _ = self._sources(other)
            expect(sources == again, f"{told}: {sources} became {again}")
        if made is None:
            return
        ids = {base: f"sha256:{number:064x}" for number, base in enumerate(made.bases)}
        text = made.write(ids)
        second = dockerfile.read(text, {})
        expect({base.image for base in second.bases} <= set(ids.values()), f"the engine would use {second.bases}")
        expect(not second.added, f"the engine would fetch {second.added}")
        third = second.write({base: base.image for base in second.bases})
        expect(third == text, "the written text is read as another")

    def _sources(self, text: str) -> tuple[Any, dockerfile.Dockerfile | None]:
        try:
            made = dockerfile.read(text, {})
        except AsmanError as error:
            expect(bool(error.message), "a refusal says nothing")
            return None, None
        return ([(base.image, base.platform) for base in made.bases], [each.url for each in made.added]), made

    def _rewritten(self, text: str) -> Iterator[tuple[str, str]]:
        if len(text) > 20_000:
            return
        if "\r" not in text:
            yield "line ends of Windows", text.replace("\n", "\r\n")
        elif not re.search(r"['\"`\[#]|ENV|ARG|\\|\r\r*(\n|\Z)", text, re.IGNORECASE):
            yield "spaces instead of carriage returns", text.replace("\r", " ")
        yield "an empty line at the end", text + "\n" if text.endswith("\n") else text
        if "escape" not in text.lower() and "`" not in text:
            yield "spaces at line ends", re.sub(r"(?m)(?<=\\)$", " ", text)
            yield "FROM on two lines", re.sub(r"(?m)^FROM +(?=[a-z])", r"FROM \\\n  ", text)


class IgnoreRules(Door):
    """Rules of ``.dockerignore``, held against a second reading of Docker's rules."""

    name = "ignore_rules"
    words = ("**", "**/", "*", "?", "!", "/", "[a-c]", "[a/b]", "[", "\\", "\n", "\n!", "#", "a", "b", "ab/", ".", "..")
    _names = ("a", "b", "ab", "abc", "a/b", "a/b/c", "b/a", "b/b/a", "ab/c.txt", ".a", "a.b", "c/d/e/a")

    def check(self, given: Any) -> None:
        try:
            rules = DockerIgnore(given)
        except AsmanError as error:
            expect(bool(error.message) and bool(error.field), "a refusal names no field")
            return
        simple = len(given) < 80 and re.fullmatch(r"[abc.*?!/\n]*", given) is not None
        for name in self._names:
            drops = rules.drops(name)
            if simple and ".." not in given and "./" not in given and "/." not in given and "***" not in given:
                expect(drops == docker_drops(given, name), f"'{name}' is {'' if drops else 'not '}left out")


def docker_drops(text: str, name: str) -> bool:
    """Whether Docker leaves a file out, by the rules of its documentation."""
    dropped = False
    for raw in text.split("\n"):
        line = raw.strip()
        keep, pattern = line.startswith("!"), line.removeprefix("!").strip()
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        parents = ["/".join(name.split("/")[:end]) for end in range(1, name.count("/") + 2)]
        if parts and any(_fits(parts, each.split("/")) for each in parents):
            dropped = not keep
    return dropped


def _fits(parts: list[str], names: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        if len(parts) == 1:
            return bool(names)
        return any(_fits(parts[1:], names[at:]) for at in range(len(names)))
    return bool(names) and _part_fits(parts[0], names[0]) and _fits(parts[1:], names[1:])


def _part_fits(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_part_fits(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in (name[0], "?") and _part_fits(pattern[1:], name[1:])


class Addresses(Door):
    """Addresses of a build's source: the host that is checked is the one that git connects to."""

    name = "addresses"
    words = (
        "git+", "https://", "http://", "@", ":443", ":80", ":0", ":99999", "[::1]", "%2f", "%2e%2e/", "\\", "#",
        "#main:",
        "/tree/", "/-/tree/", ".git", "?", "key:", "github.com", ".", "..", "/", "127.0.0.1", "EXAMPLE", "\t", "。",
    )  # fmt: skip
    _authority = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)

    def check(self, given: Any) -> None:
        try:
            source = parse_source(given)
        except AsmanError as error:
            expect(bool(error.message) and bool(error.field), "a refusal names no field")
            return
        if not isinstance(source, GitSource):
            return
        asked, dialled = self._place(given.strip().removeprefix("git+")), self._place(source.url)
        expect(asked == dialled, f"{asked} became {dialled}")
        parts = urlsplit(source.url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
        checked = ((parts.hostname or "").rstrip("."), port)
        expect(checked == dialled, f"{checked} is checked, {dialled} is dialled")
        if not re.search(r"/(tree|commit|src)/", source.url) and source.url == source.url.strip():
            again = parse_source(f"git+{source.url}")
            expect(isinstance(again, GitSource) and again.url == source.url, f"'{source.url}' became '{again}'")

    def _place(self, url: str) -> tuple[str, int]:
        """Reads host and port by RFC 3986, 3.2."""
        found = self._authority.match(url)
        if found is None:
            raise Fault(f"'{url}' has no host")
        scheme, authority = found[1].lower(), found[2].rpartition("@")[2]
        host, _, port = authority.partition(":")
        if authority.startswith("["):
            host, _, port = authority.partition("]")
            host, port = host[1:], port.removeprefix(":")
        return host.lower().rstrip("."), int(port or (443 if scheme == "https" else 80))
