"""The command line: `commands` has a module per command, all else helps them; what is heavy is imported late."""
