"""The hub: queues that workers and clients dial into.

Data flows one way: socket -> codec -> typed message -> queue core -> effects -> journal and outboxes. Follow a job by
opening, in this order, `sessions.client`, `queues.shell`, `core.queue`, `storage.group_commit` and `sessions.worker`.
"""

__version__ = "0.1.0"
