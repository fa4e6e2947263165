"""The language of hub, worker and client: jobs and their identity, messages, the wire codec, units, limits, errors.

This package imports none of the others. Start with `messages` for the messages, `definition` for a job's
definition and `identity` for its id.
"""
