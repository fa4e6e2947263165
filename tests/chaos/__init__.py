"""Chaos: real processes under load that are killed, frozen and cut off, and a judge that counts the damage."""
