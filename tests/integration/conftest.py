"""Integration tests run real containers: each may take longer than a unit test, none may hang."""

from __future__ import annotations
