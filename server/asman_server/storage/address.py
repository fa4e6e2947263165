"""Addresses of databases: the file of SQLite, or the hosts of Postgres and the words for its driver."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_SEVERAL_HOSTS: Final = re.compile(r"(postgres(?:ql)?(?:\+\w+)?://)([^/?#]*@)?([^/?#@]*,[^/?#@]*)([^?#]*)(\?[^#]*)?")
_OF_LIBPQ: Final = frozenset(
    (
        *("channel_binding", "client_encoding", "fallback_application_name", "gssdelegation", "gssencmode", "hostaddr"),
        *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts"),
        *("replication", "require_auth", "requirepeer", "requiressl", "sslcompression", "sslcrldir", "sslsni"),
        "tcp_user_timeout",
    )
)
"""Parameters of libpq that the driver would take for settings of the server."""
_OF_HUB: Final = frozenset(("host", "port", "target_session_attrs"))
"""Parameters that the hub itself reads: it looks for the server that takes writes, whatever the URL says."""


class Host(NamedTuple):
    """A server of a URL; a name of None is where the driver looks by itself, and one with a slash is a folder."""

    name: str | None
    port: int | None

    def __str__(self) -> str:
        """The host for people."""
        return f"{self.name or 'the usual place'}{f':{self.port}' if self.port else ''}"


def parsed(url: str) -> URL:
    """Parses the URL of a database; that of Postgres may name several hosts, as ``host:port,host:port``.

    Raises:
        ArgumentError: It is no URL, or has a parameter that the hub can't keep to.
    """
    found = _SEVERAL_HOSTS.fullmatch(url)
    if found is not None:
        scheme, user, hosts, path, query = found.groups(default="")
        named = urlencode([("host", host) for host in hosts.split(",")])
        url = f"{scheme}{user}{path}?{named}{query.replace('?', '&', 1)}"
    try:
        made = make_url(url)
    except ValueError as error:  # of a port
        raise ArgumentError(str(error)) from error
    if not is_sqlite(made):
        if foreign := sorted(_OF_LIBPQ & made.query.keys()):
            raise ArgumentError(f"the hub's driver for Postgres has no {foreign[0]}; leave it out")
        hosts_of(made)
    return made


def is_sqlite(url: URL | str) -> bool:
    """Returns whether a URL is that of SQLite."""
    return (parsed(url) if isinstance(url, str) else url).drivername.startswith("sqlite")


def hosts_of(url: URL) -> list[Host]:
    """The servers of a URL of Postgres, in its order, at least one.

    Raises:
        ArgumentError: A port is no number, or their number is not that of the hosts.
    """
    names = _listed(url, "host") or ([url.host] if url.host else [])
    ports = _listed(url, "port") or ([str(url.port)] if url.port else [])
    if not names:
        return [Host(None, _number(ports[0]) if ports else None)]
    if len(ports) > 1 and len(ports) != len(names):
        raise ArgumentError(f"the URL of the database has {len(names)} hosts and {len(ports)} ports")
    usual = ports * len(names) if len(ports) == 1 else ports or [""] * len(names)
    return [_host(name, port) for name, port in zip(names, usual, strict=True)]


def _listed(url: URL, name: str) -> list[str]:
    given = url.query.get(name, ())
    values = (given,) if isinstance(given, str) else given
    return [each for value in values for each in value.split(",") if each]


def _host(name: str, port: str) -> Host:
    if name.startswith("/"):
        return Host(name, _number(port))
    if name.startswith("["):
        inner, _, rest = name[1:].partition("]")
        return Host(inner, _number(rest.removeprefix(":") or port))
    if name.count(":") == 1:
        name, _, own = name.partition(":")
        return Host(name, _number(own or port))
    return Host(name, _number(port))


def _number(port: str) -> int | None:
    if not port:
        return None
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ArgumentError(f"the URL of the database has the port '{port[:20]}', which is none")
    return int(port)


def driver_arguments(url: URL) -> dict[str, Any]:
    """The arguments of asyncpg for a URL, besides the host: user, password, database, TLS and the server's settings."""
    query = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    query = {name: value for name, value in query.items() if name not in _OF_HUB}
    if "ssl" in query:  # as SQLAlchemy has it
        query.setdefault("sslmode", query.pop("ssl"))
    arguments: dict[str, Any] = {"user": url.username, "password": url.password, "database": url.database or None}
    arguments["dsn"] = f"postgresql://{f'?{urlencode(query)}' if query else ''}"
    return {name: value for name, value in arguments.items() if value is not None}
