"""Runs attempts in containers without an engine: images, their roots, and one monitor process for each container.

Way in: `executor.OciExecutor` (the methods that an attempt calls) and `host.OciHost` (what all queues share).
`programs` are processes of their own, which import nothing but the standard library. `rootless` is for a worker that is
not root.
May import: `containers`, `images`, `execution`, `config`, `files`.
"""
