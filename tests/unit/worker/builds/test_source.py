"""What the context of a build stands for."""

from __future__ import annotations

import pytest

from asman_shared.errors import BadDefinition
from asman_worker.builds.source import ArchiveSource, BlobSource, GitSource, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("key:" + "a" * 64, BlobSource("a" * 64)),
        ("https://github.com/o/r", GitSource("https://github.com/o/r")),
        ("https://github.com/o/r.git#v1:sub/x", GitSource("https://github.com/o/r.git", "v1", "sub/x")),
        ("https://github.com/o/r/tree/main/sub", GitSource("https://github.com/o/r", page="main/sub")),
        ("https://gitlab.com/g/s/r/-/tree/main", GitSource("https://gitlab.com/g/s/r", page="main")),
        ("https://github.com/o/r/commit/" + "b" * 40, GitSource("https://github.com/o/r", "b" * 40)),
        (
            "https://github.com/o/r/archive/refs/heads/x.tar.gz",
            ArchiveSource("https://github.com/o/r/archive/refs/heads/x.tar.gz"),
        ),
        ("https://host.example/x.zip?token=1", ArchiveSource("https://host.example/x.zip?token=1")),
        ("https://host.example/download/7", ArchiveSource("https://host.example/download/7")),
        ("git+https://host.example/x", GitSource("https://host.example/x")),
        ("https://host.example/x.git", GitSource("https://host.example/x.git")),
        ("https://HOST.example.:443/x.git", GitSource("https://host.example/x.git")),
        ("https://Host.example:444/x.git", GitSource("https://host.example:444/x.git")),
        ("git+https://[::1]/x", GitSource("https://[::1]/x")),
        ("https://GitHub.com/o/r", GitSource("https://github.com/o/r")),
    ],
)
def test_a_context_is_read_as_people_write_it(text: str, source: object) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text",
    ["/etc", "file:///etc", "ssh://h/x", "git@github.com:o/r.git", "key:abc", "https://", "https://u:p@h/x.git",
     "x" * 5000, "https://h:port/x", "https://h:0/x", "https://a..b/x", "https://a%20b/x",
     "https://github.com/o/../x/r.git", "https://github.com/o/%2e%2E/x/r.git", "https://h/o/./r.git", "https://github.com//o/r",
     "https://github.com/%6f/r", "https://github.com/o/r%2Dx", "https://github.com/o/%41", "https://h/o/..",
     "https://github.com/o\\..\\x/r.git", "https://h/o%5c..%5cx.git", "https://github.com/o/r#-x",
     "https://github.com/o/r#a..b", "ext::sh -c x"],
)  # fmt: skip
def test_a_context_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadDefinition):
        parse_source(text)


def test_the_address_of_a_page_leads_to_the_repository_as_it_is_written() -> None:
    assert parse_source("https://github.com/o%23x/r/tree/main/a%20b") == GitSource(
        "https://github.com/o%23x/r", page="main/a b"
    )
    assert parse_source("https://github.com/o/r//tree/main") == GitSource("https://github.com/o/r", page="main")


@pytest.mark.parametrize("login", ["t0ken", "t0ken:x-oauth-basic", "x-access-token:t0ken", "name:t0ken", ":t0ken"])
def test_an_address_with_a_token_is_refused_with_the_way_that_works_and_without_the_token(login: str) -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_source(f"https://{login}@github.com/owner-1/repo.git#main")
    said = refused.value.message
    assert "must not hold a name, a password or a token" in said
    assert "--git-credentials FILE" in said
    assert "--git-credentials-for 'build:https://github.com/owner-1/*'" in said
    assert "t0ken" not in said
    assert str(parse_source("https://github.com/owner-1/repo.git#main")) == "https://github.com/owner-1/repo.git"
