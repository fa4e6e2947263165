"""GA4GH Task Execution Service: workflow engines run tasks on a queue, each of which is a job.

`endpoint` answers requests, `task` has what clients send, `translation` makes definitions of it, and `views` shows jobs
as tasks. The queue knows nothing of tasks: what a job does not need is kept beside it, as a note.
May import: `rest`, `sessions`, `upkeep` and all below, see the layers in `pyproject.toml`.
"""
