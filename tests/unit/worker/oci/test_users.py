from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.oci.users import User, find_user, inside, kind_of, links_on

PEOPLE = "root:x:0:0:root:/root:/bin/sh\n# a comment\nme:x:1000:1001:Me:/home/me:/bin/sh\nbroken\n"
GROUPS = "root:x:0:\nmine:x:1001:\nmedia:x:44:me,other\nwheel:x:10:me\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/passwd").write_text(PEOPLE)
    (made / "etc/group").write_text(GROUPS)
    return made


@pytest.mark.parametrize(
    ("wanted", "user"),
    [
        ("", User(0, 0, (), "/root")),
        ("me", User(1000, 1001, (10, 44), "/home/me")),
        ("1000", User(1000, 1001, (10, 44), "/home/me")),
        ("me:media", User(1000, 44, (), "/home/me")),
        ("me:7", User(1000, 7, (), "/home/me")),
        ("4321", User(4321, 0, (), "/")),
        ("4321:8765", User(4321, 8765, (), "/")),
    ],
)
def test_a_user_is_found_by_name_or_number(root: Path, wanted: str, user: User) -> None:
    assert find_user(root, wanted) == user


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("nobody-here", "unable to find user nobody-here: no matching entries in passwd file"),
        ("me:nobody-here", "unable to find group nobody-here: no matching entries in group file"),
        ("broken", "uids and gids must be in range"),
        ("4294967296", "uids and gids must be in range"),
        ("9" * 5000, "uids and gids must be in range"),
        ("²", "unable to find user ²"),
        ("-1", "unable to find user -1"),
    ],
)
def test_a_user_that_is_none_is_the_jobs_fault(root: Path, wanted: str, why: str) -> None:
    with pytest.raises(ExecutionError, match=why):
        find_user(root, wanted)


def test_an_image_without_such_files_has_numbers_only(tmp_path: Path) -> None:
    assert find_user(tmp_path, "5") == User(5, 0, (), "/")


def test_links_of_an_image_are_resolved_as_its_containers_see_them(root: Path) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/lib")
    (root / "up").symlink_to("../../../../../etc")
    (root / "chain").symlink_to("lib/../../up")
    assert inside(root, "/lib/x/y") == "/usr/lib/x/y"
    assert inside(root, "/chain/passwd") == "/etc/passwd"
    assert inside(root, "/../../lib/./..") == "/usr"
    assert links_on(root, "/lib/x") == {"/lib": "/usr/lib"}
    assert links_on(root, "/usr/lib") == {}
    assert kind_of(root, "/none") is None


def test_a_users_file_that_leads_out_is_looked_for_inside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("thief:x:66:66::/:\n")
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to(tmp_path / "passwd")
    with pytest.raises(ExecutionError, match="unable to find user thief"):
        find_user(root, "thief")


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    with pytest.raises(ExecutionError, match="too many links"):
        inside(root, "/one/x")
