"""Compares the working tree with another commit: ``make bench COMPARE=<commit>``, or ``python -m bench.commits``.

Each side runs in processes of its own, on its own packages ``asman``, ``asman_server``, ``asman_shared`` and
``asman_worker``, so the two may have different modules. `sides` prepares them, `scenarios` lists what is measured,
`running` runs one scenario on one side, `rounds` makes the sides take turns, `intervals` has the statistics and
`report` shows the result.

**The code that measures.** A scenario that reaches Asman only by the command line, the wire and the public functions of
``asman`` is measured by the working tree's bench on both sides: the same driver, another hub. A scenario that imports
modules of the hub is measured by each side's own bench, because those modules may have moved.
"""
