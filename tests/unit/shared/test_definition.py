"""What a definition may hold; each refusal names the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asman_shared.definition import Definition


def made(**fields: Any) -> Definition:
    return msgspec.convert(fields, Definition)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `imgae`"):
        made(imgae="x")
