"""Makes the documentation as a site: from README.md and docs to a folder of plain files, which any server can serve.

Way in: ``python -m build_tools.site [FOLDER]``; without a folder it writes the one from which a hub serves ``/docs``.
May import: the standard library, `markdown_it` and the version of Asman.
"""

from .write import build

__all__ = ["build"]
