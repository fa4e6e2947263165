"""Runs the attempts that the hub assigns: stages files, sends log lines, and keeps results until acknowledged.

Way in: `agent.Agent` (all attempts of one queue) and `attempt.Attempt` (one, from assignment to result).
May import: `images`, `execution`, `config`, `files`, `hub_link`; not `builds` or `containers`. It knows executors
only by `execution.interface`.
"""
