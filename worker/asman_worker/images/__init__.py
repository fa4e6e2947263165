"""Has images on the machine: pulls them once for all jobs that want them, and removes those that are not used.

Way in: `images.Images` (gets an image) and `engine.Engine` (the container engine's API).
May import: `execution`, `config`, `files`, `hub_link`.
"""
