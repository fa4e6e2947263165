"""Builds the images of jobs that bring a Dockerfile: fetches the source, makes the context, and has the engine build.

Way in: `builder.Builder`. (The folder is not named ``build``, which git, ruff and pytest pass over.)
May import: `images`, `execution`, `config`, `files`, `hub_link`; not `attempts` or `containers`.
"""
