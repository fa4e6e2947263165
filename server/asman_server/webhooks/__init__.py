"""Calls the webhooks that jobs name: checks them, signs the calls, and repeats them until they are delivered.

Way in: `calls` (checks the webhooks of a submission) and `deliver.Deliverer` (makes the stored calls).
May import: `storage` and all below, see the layers in `pyproject.toml`.
"""
