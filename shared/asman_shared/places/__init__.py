"""Places of files outside of the hub, which only some workers reach.

Way in: `urls`. Imports `limits` and `errors` alone.
"""
