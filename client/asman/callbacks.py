"""Webhooks of a submission, in the forms that callers use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from asman_shared.errors import BadRequest, misfit
from asman_shared.messages import Callbacks


def read_callbacks(callbacks: Callbacks | Mapping[str, Any] | None) -> Callbacks | None:
    """Converts webhooks to the form that is sent.

    Raises:
        BadRequest: A field is unknown or has the wrong type.
    """
    if callbacks is None or isinstance(callbacks, Callbacks):
        return callbacks
    try:
        return msgspec.convert(callbacks, Callbacks)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        where = f"callbacks.{path}".rstrip(".")
        raise BadRequest(f"{sentence} ({where})", field=where) from error
