"""Heat maps of ``evaluate needle`` in the terminal; bars and numbers in the cells make them readable without colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mctool.render.palette import BELOW_ZERO, FAINT, SCORE_RAMP, SPENT
from mctool.render.safe_text import safe_line

Row = Mapping[str, Any]
CELL_COLUMNS = 5
_STYLES = (SCORE_RAMP[2], SCORE_RAMP[1], SCORE_RAMP[0], SPENT)
"""From no needle found to all of them."""


def needle_maps(rows: Iterable[Row], haystack: str) -> list[Group]:
    """One table a kind: depths downwards, lengths across; in each cell answered / opened, in per cent.

    Args:
        rows: Of ``mctool evaluate needle --json``.
        haystack: What the needles stood in.
    """
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    return [_map(kind, of_kind, haystack) for kind, of_kind in kinds.items()]


def _map(kind: str, rows: list[Row], haystack: str) -> Group:
    lengths = sorted({row["tokens"] for row in rows})
    total, opened = _mean(rows, "correct"), _mean(rows, "opened")
    peer = "" if rows[0]["rag_correct"] is None else f", from BM25 chunks {_per_cent(_mean(rows, 'rag_correct'))} %"
    title = (
        f"{kind}: {_per_cent(total)} % answered right{peer}, {_per_cent(opened)} % opened, "
        f"{sum(row['n'] for row in rows)} needles in {haystack}"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("depth", justify="right")
    for length in lengths:
        table.add_column(f"{length:,}", no_wrap=True)
    for depth, of_depth in groupby(sorted(rows, key=lambda row: (row["depth"], row["tokens"])), lambda r: r["depth"]):
        cells = {row["tokens"]: row for row in of_depth}
        table.add_row(f"{depth:g} %", *(_cell(cells[length]) for length in lengths))
    return Group(Text(safe_line(title)), table, Text("in cells: answered right / opened, in per cent", FAINT))


def _cell(row: Row) -> Text:
    """A bar as long as the share that was answered right, with both shares."""
    share = row["correct"]
    filled = round(share * CELL_COLUMNS)
    style = _STYLES[min(int(share * (len(_STYLES) - 1)), len(_STYLES) - 1)]
    bar = Text("█" * filled, style).append("░" * (CELL_COLUMNS - filled), BELOW_ZERO)
    return bar.append(f" {_per_cent(share)}/{_per_cent(row['opened'])}")


def _mean(rows: list[Row], name: str) -> float:
    return float(sum(row[name] * row["n"] for row in rows) / sum(row["n"] for row in rows))


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f}"
