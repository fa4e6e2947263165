"""Fuzzing: mutated inputs for every door of ours, each with an oracle that says what a fault is.

`door` says what a door is, `mutate` makes new inputs from old ones, `play` feeds a door, and each other module has the
doors of one kind. The corpus has a folder for each door.
"""
