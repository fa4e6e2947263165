"""Webhooks in the forms that callers use."""

from __future__ import annotations

import pytest

from asman.callbacks import read_callbacks
from asman_shared.errors import BadRequest
from asman_shared.messages import Callbacks


def test_a_mapping_and_the_object_are_the_same() -> None:
    made = read_callbacks({"finished": {"url": "https://example.org/done", "payload": {"n": 1}}})
    assert isinstance(made, Callbacks)
    assert made.finished is not None
    assert (made.queued, made.finished.url) == (None, "https://example.org/done")
    assert read_callbacks(made) is made
    assert read_callbacks(None) is None


def test_an_error_names_the_field() -> None:
    with pytest.raises(BadRequest, match=r"callbacks\.finished\.url") as caught:
        read_callbacks({"finished": {"url": 3}})
    assert caught.value.field == "callbacks.finished.url"
    with pytest.raises(BadRequest, match="ended"):
        read_callbacks({"ended": {"url": "https://example.org"}})
