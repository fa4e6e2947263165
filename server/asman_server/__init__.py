"""The hub: queues that workers and clients dial into.

Data flows one way: socket -> codec -> typed message -> queue core -> effects -> journal and outboxes. Follow a job by
opening, in this order, `client_session`, `queue_shell`, `core.queue`, `committer` and `worker_session`.
"""

from asman_shared.version import __version__ as __version__
