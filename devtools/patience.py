"""How long tests wait."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 120.0
"""Longest time that a test waits for what must happen, in seconds: long, because it is reached only when something is
broken, and a machine may have ten other things to do."""
