"""Keeps what other people wrote from steering a terminal: names, sentences, logs of jobs, and log lines.

Way in: `safe_text`, and `log_format.SafeFormatter` for the programs' own logs.
May import: the package's own modules.
"""
