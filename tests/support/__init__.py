"""Helpers of the tests alone; those that the bench and the scripts use too are in ``devtools``."""
