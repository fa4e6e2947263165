"""The hub: queues that workers and clients dial into.

Data flows one way: socket -> codec -> typed message -> queue core -> effects -> group commit and send buffers. Follow a
job by opening, in this order, `sessions.client`, `queues.shell`, `core.queue`, `storage.group_commit` and
`sessions.worker`.
"""

from asman_shared.version import __version__ as __version__
