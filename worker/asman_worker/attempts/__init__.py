"""Runs the attempts that the hub assigns: stages files, sends log lines, and keeps results until acknowledged.

Way in: `agent.Agent` (all attempts of one queue) and `attempt.Attempt` (one, from assignment to result).
May import: `execution`, `files`, `hub_link`, `config`; executors only through `execution.interface`.
"""
