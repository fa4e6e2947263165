"""The version of Asman: of the distribution, the hub, the worker, the client and the page."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
"""The only place that states it: the build, the agents and the page all read this line."""
