"""Whole queues, with all that goes wrong between machines, in virtual time."""
