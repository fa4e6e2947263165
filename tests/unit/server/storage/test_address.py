"""Addresses of databases: several hosts in either way of writing, and no parameter that would be dropped in silence."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import ArgumentError

from asman_server.storage.address import Host, driver_arguments, hosts_of, is_sqlite, parsed


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u@db/x", [Host("db", None)]),
        ("postgresql://u:p@db:7/x", [Host("db", 7)]),
        ("postgresql://u:p@a:1,b:2/x?sslmode=require", [Host("a", 1), Host("b", 2)]),
        ("postgres://a,b/x", [Host("a", None), Host("b", None)]),
        ("postgresql://u@/x?host=a:1&host=b:2", [Host("a", 1), Host("b", 2)]),
        ("postgresql://u@/x?host=a,b&port=1,2", [Host("a", 1), Host("b", 2)]),
        ("postgresql://u@/x?host=a,b&port=9", [Host("a", 9), Host("b", 9)]),
        ("postgresql://u@[::1]:5,[::2]/x", [Host("::1", 5), Host("::2", None)]),
        ("postgresql:///x?host=/run/postgresql", [Host("/run/postgresql", None)]),
        ("postgresql:///x", [Host(None, None)]),
    ],
)
def test_all_hosts_of_a_url_are_found(url: str, hosts: list[Host]) -> None:
    assert hosts_of(parsed(url)) == hosts


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@a:x/y",
        "postgresql://u@a:1,b:70000/y",
        "postgresql://u@/y?host=a,b,c&port=1,2",
        "postgresql://u@a/y?channel_binding=require",
    ],
)
def test_an_address_that_the_hub_can_not_keep_to_is_refused(url: str) -> None:
    with pytest.raises(ArgumentError):
        parsed(url)


def test_the_driver_gets_user_password_database_tls_and_settings_but_no_host() -> None:
    url = parsed("postgresql://u:p%40ss@a,b/x?ssl=require&sslrootcert=/ca.pem&search_path=s&target_session_attrs=any")
    assert driver_arguments(url) == {
        "user": "u",
        "password": "p@ss",
        "database": "x",
        "dsn": "postgresql://?sslrootcert=%2Fca.pem&search_path=s&sslmode=require",
    }
    assert driver_arguments(parsed("postgresql://u@a")) == {"user": "u", "dsn": "postgresql://"}


def test_the_kind_of_a_database_is_told_from_its_url() -> None:
    assert is_sqlite("sqlite:///x")
    assert not is_sqlite("postgresql://a,b/x")
