"""The part of a definition that a key may see."""

from __future__ import annotations

from asman_shared.definition import Definition

from .rights import Access


def shown(definition: Definition, access: Access) -> Definition:
    """Returns a definition as a key may see it.

    A key that reads and can't submit sees the image, the command and the names of the environment variables, whose
    values and inputs may be secrets of who submits.
    """
    if access.sees_definitions:
        return definition
    names = dict.fromkeys(definition.env or {}, "") or None
    return Definition(image=definition.image, command=definition.command, env=names)
