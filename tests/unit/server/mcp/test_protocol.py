"""Values of headers, in which clients write what does not fit as base64."""

from __future__ import annotations

import pytest

from asman_server.mcp.protocol import decoded

READ = {
    None: None,
    "": "",
    "submit": "submit",
    "=?base64?w6Q=?=": "ä",
    "=?base64??=": "",
    "=?base64?w6Q?=": None,
    "=?base64?w6R=?=": None,
    "=?base64?/w==?=": None,
    "=?base64?w6 Q=?=": None,
    "x=?base64?w6Q=?=": "x=?base64?w6Q=?=",
}


@pytest.mark.parametrize("value", READ, ids=str)
def test_a_value_is_read_or_is_like_no_other(value: str | None) -> None:
    assert decoded(value) == READ[value]
