"""Whole queues, with all that goes wrong between machines, in virtual time."""

import sys

from build_tools import compiled

if "--compiled" not in sys.argv:  # planted bugs are put into the sources
    compiled.prefer_sources()
