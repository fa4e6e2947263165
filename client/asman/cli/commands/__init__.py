"""The commands, named as they are typed: ``asman job add`` is in `job_add`; short commands of a noun share a module.

Way in: `asman.cli.command_table` names the module and function of every command; `asman.cli.tree` imports a module when
its command is called, and no other. Each module imports heavy packages inside its functions.
May import: `asman.cli` and the library; only `hub`, `worker`, `up` and `doctor` import the hub or the worker.
"""
