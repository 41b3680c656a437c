"""Tables of ``train lens --part scorer --ablations``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

_BUDGETS = (128, 256, 512, 1024)
_TABLES = {
    "prose: answers among the best blocks, by raw tokens": {str(n): f"recall@{n} prose" for n in _BUDGETS},
    "code: answers among the best blocks, by raw tokens": {str(n): f"recall@{n} code" for n in _BUDGETS},
    "measured gains: rank correlation, signs that are told": {
        name: name for name in ("spearman prose", "spearman code", "negative told", "positive told")
    },
    **{
        f"{kind} after narrowing: answers shown, raw tokens": {
            f"{figure} {rule}": f"{figure} {kind} {rule}"
            for rule in ("by utility", "by gain")
            for figure in ("shown", "tokens")
        }
        for kind in ("prose", "code")
    },
}
"""Title, and of each column its head and the name of its figure."""


def ablation_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Recall of prose and code, what is known of gains, and what narrowing leaves, a line for each lens.

    Args:
        rows: Of ``mctool train lens --part scorer --ablations --json``.
    """
    tables = []
    for title, columns in _TABLES.items():
        if not any(name in row["figures"] for row in rows for name in columns.values()):
            continue
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for head in columns:
            table.add_column(head, justify="right")
        for row in rows:
            table.add_row(row["name"], *(_cell(row["figures"].get(name)) for name in columns.values()))
        tables.append(table)
    return tables


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value > 1 else f"{value:.3f}"
