"""Tests: ``unit`` needs nothing, ``simulation`` drives the pure core, ``integration`` and ``browser`` real parts."""
