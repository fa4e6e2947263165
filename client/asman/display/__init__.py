"""Jobs, results and progress as people see them: in a notebook, in a terminal, and by `repr`."""

from .live import progress
from .tables import Table, table

__all__ = ["Table", "progress", "table"]
