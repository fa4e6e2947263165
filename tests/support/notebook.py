"""Runs a notebook in a real kernel, as Jupyter does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_SECONDS: Final = 300

_PROGRAM: Final = """
import json, sys, nbclient, nbformat
cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
def shown(output):
    data = output.get("data") or {"text/plain": output.get("text", "")}
    return [output["output_type"], data.get("text/plain", ""), data.get("text/html", "")]
print(json.dumps([[shown(output) for output in cell.outputs] for cell in notebook.cells]))
"""


class Shown(NamedTuple):
    """One output of a cell.

    Attributes:
        kind: ``display_data``, ``execute_result`` or ``stream``.
        plain: As text.
        html: As HTML; empty if it has none.
    """

    kind: str
    plain: str
    html: str


def run_notebook(cells: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[list[Shown]]:
    """Runs the cells of a notebook one after another; returns the outputs of each as they are at the end.

    Raises:
        AssertionError: A cell raised an error.
    """
    made = {**environment, "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "jupyter")}
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(list(cells)),
        capture_output=True,
        text=True,
        env=made,
        cwd=folder,
        timeout=_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return [[Shown(*output) for output in cell] for cell in json.loads(ended.stdout)]
