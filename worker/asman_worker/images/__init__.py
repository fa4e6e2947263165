"""Manages images on the machine: pulls each once for all jobs that want it, and removes unused ones.

Way in: `images.Images` (gets an image) and `engine.Engine` (the container engine's API).
May import: `execution`, `config`, `files`, `hub_link`.
"""
