"""Claims of bridges: one holder at a time, until it lets go."""

from __future__ import annotations

import secrets
import sys

import pytest

from asman_worker.containers.bridge_claim import BridgeClaim, here

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has such names")


def test_a_bridge_is_claimed_once_until_it_is_let_go() -> None:
    bridge = f"asman-{secrets.token_hex(4)}"
    held = BridgeClaim.take(bridge)
    assert held is not None
    assert BridgeClaim.take(bridge) is None
    held.close()
    again = BridgeClaim.take(bridge)
    assert again is not None
    again.close()


def test_claims_of_different_bridges_do_not_meet() -> None:
    claims = [BridgeClaim.take(f"asman-{secrets.token_hex(4)}") for _ in range(2)]
    for claim in claims:
        assert claim is not None
        claim.close()


def test_this_namespace_has_one_name_as_long_as_the_machine_is_up() -> None:
    assert here() == here()
    boot, _, namespace = here().partition("/")
    assert len(boot) == 36
    assert namespace.isdigit()
