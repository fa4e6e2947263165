"""Calls the webhooks that jobs name: checks them, signs the calls, and repeats them until they are delivered.

Way in: `calls` (what a submit may ask for) and `deliver.Deliverer` (makes the stored calls).
May import: `storage`, `core`, and the hub's root helpers.
"""
