"""What hub, worker and client all speak: jobs and their identity, messages, the wire codec, units, limits, errors.

This room imports none of the others. Start with `messages` for what travels, `definition` for what a job is and
`identity` for what its id is.
"""
