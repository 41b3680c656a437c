"""What ``mctool curate plan`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from mctool.render.safe_text import safe_line


def prune_table(documents: Sequence[Mapping[str, Any]], most: int) -> Table:
    """The coldest of the documents to archive, at most so many, and how many more there are.

    Args:
        documents: Of ``mctool curate plan --json``, the coldest first.
        most: Rows.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("touches", "tokens", "blocks"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("path")
    for document in documents[:most]:
        counts = (f"{document['touches']:,.1f}", f"{document['tokens']:,}", f"{document['blocks']:,}")
        table.add_row(*counts, Text(safe_line(document["path"])))
    if len(documents) > most:
        table.add_row("", "", "", Text(f"and {len(documents) - most:,} more; --json lists all", "dim"))
    return table
