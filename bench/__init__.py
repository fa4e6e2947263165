"""What is measured, and against whom; run with `python -m bench`."""

import sys

from build_tools import compiled

if {"--sources", "--functions"} & set(sys.argv):  # of `bench profile`; nobody can look into what is compiled
    compiled.prefer_sources()
