"""Defines what an executor is, and what all executors share; holds the one that runs plain processes.

Way in: `interface.JobExecutor` (what an attempt needs of an executor) and `process_executor.ProcessExecutor`.
May import: `config`, `files`, `hub_link`. Executors that need more have rooms of their own, as `containers` does.
"""
