"""Tests: ``unit`` needs nothing, ``simulation`` drives the pure core, ``integration`` and ``browser`` real parts.

They take modules apart, which only the sources allow. The processes that they start run what is compiled.
"""

import sys

from build_tools import compiled

if "pytest" in sys.modules:  # the simulation decides for itself, and chaos only starts processes
    compiled.prefer_sources()
