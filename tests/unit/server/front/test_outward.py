"""Addresses at which other machines find a server of this one."""

from __future__ import annotations

import ipaddress

import pytest

from asman_server.front import address_for_others, outward


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "hub.localhost"])
def test_a_server_for_this_machine_alone_has_no_address_for_others(host: str) -> None:
    assert address_for_others(host, "http://x:1") is None


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::1", "hub.example"])
def test_a_host_that_was_named_is_what_others_use_too(host: str) -> None:
    assert address_for_others(host, "http://named:1") == "http://named:1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_a_server_on_all_addresses_is_found_at_the_one_towards_the_network(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outward, "_outward", lambda: "198.51.100.3")
    assert address_for_others(host, "http://127.0.0.1:34993") == "http://198.51.100.3:34993"
    monkeypatch.setattr(outward, "_outward", lambda: None)
    assert address_for_others(host, "http://127.0.0.1:34993") is None


def test_the_address_towards_the_network_is_one_of_this_machine_s_or_none() -> None:
    found = outward._outward()
    assert found is None or not ipaddress.ip_address(found).is_loopback
