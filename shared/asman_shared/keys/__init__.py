"""Keys to queues, which grant less than their names.

Way in: `derived`. Imports `address` and `errors` alone.
"""
