"""Lives the attempts that the hub assigned: stages files, runs them, sends lines, and keeps results until acknowledged.

Way in: `agent.Agent` (all attempts of one queue) and `attempt.Attempt` (one, from assignment to result).
May import: `execution`, `files`, `hub_link`, `config`; no executor but by `execution.interface`.
"""
