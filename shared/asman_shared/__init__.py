"""The language of hub, worker and client: jobs and their identity, messages, the wire codec, units, limits, errors.

This package imports none of the others. Start with `messages` for what travels, `definition` for what a job is and
`identity` for what its id is.
"""
