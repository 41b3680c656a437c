"""Tables of ``mctool evaluate focus --walk``; they take plain values, so that this module knows no measurement."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.table import Table

from mctool.render.safe_text import safe_line


def walk_tables(result: Mapping[str, Any]) -> list[Table]:
    """One table a set and lens: recall by all keys and by the walk at each budget.

    Args:
        result: What the command gives with ``--json``.
    """
    tables = []
    for (name, lens), group in groupby(result["rows"], key=lambda row: (row["set"], row["lens"])):
        rows = list(group)
        title = (
            f"{name}, {lens}: {rows[0]['n']} questions, a tree of {result['tokens']:,} tokens; the walk reads"
            f" {rows[0]['read']:.1%} of the nodes"
        )
        table = Table(title=safe_line(title), title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("keys")
        for row in rows:
            table.add_column(str(row["budget"]), justify="right", no_wrap=True)
        table.add_column("ms", justify="right", no_wrap=True)
        for key in ("flat", "walk"):
            label = "all" if key == "flat" else "by the walk"
            table.add_row(label, *(f"{row[key]:.3f}" for row in rows), f"{1000 * rows[0][f'{key}_seconds']:.0f}")
        table.add_row("difference", *(f"{row['difference']:+.3f}±{row['se']:.3f}" for row in rows), "")
        tables.append(table)
    return tables
