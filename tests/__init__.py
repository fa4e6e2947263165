"""Tests: ``unit`` needs nothing, ``simulation`` drives the pure core, ``integration`` and ``browser`` real parts.

They take modules apart, which only the sources allow. The processes that they start run what is compiled.
"""

import sys

from scripts import compiled

if "pytest" in sys.modules:  # and not where a bench borrows something from here
    compiled.prefer_sources()
