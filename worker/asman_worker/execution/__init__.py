"""The executor interface, the parts that all executors share, and the executor of plain processes.

Way in: `interface.JobExecutor` (the methods that an attempt calls) and `process_executor.ProcessExecutor`.
May import: `config`, `files`, `hub_link`. An executor with many parts has a room of its own, as `containers` does.
"""
