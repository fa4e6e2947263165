"""The command line: one module per noun; what is heavy is imported by the command that needs it."""
