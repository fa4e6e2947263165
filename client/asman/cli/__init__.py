"""The command line: `commands` has the commands, the other modules help them; heavy modules are imported late."""
