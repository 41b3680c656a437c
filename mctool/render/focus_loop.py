"""Tables of what ``evaluate focus`` prints beside recall: thirds of the questions, and the refocus loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rich.table import Table

from mctool.render.evaluation import focus_tables
from mctool.render.safe_text import safe_line

Row = Mapping[str, Any]

_LOOP = (
    ("came to rest", "converged", "share", "at least .95"),
    ("iterations, mean", "iterations", "number", ""),
    ("iterations, 90th percentile", "iterations_p90", "number", ""),
    ("swap rate, actions over entries", "swap_rate", "share", ".05 to .20"),
    ("swap rate where it came to rest", "settled_swap_rate", "share", ".05 to .20"),
    ("iterations with a rate above .25", "thrash", "share", ""),
    ("entries replaced in an iteration", "changed", "share", ""),
    ("raw tokens after narrowing", "raw_tokens", "number", ""),
    ("answers in that window", "recall", "share", ""),
    ("± standard error", "se", "share", ""),
    ("one iteration, ms", "iteration_seconds", "ms", ""),
    ("the lens for a question, ms", "lens_seconds", "ms", ""),
    ("of it LensNet, ms", "net_seconds", "ms", ""),
    ("entries of a wide context", "wide_entries", "number", "2,000"),
    ("one iteration over it, ms", "wide_iteration_seconds", "ms", "below 50"),
    ("the whole loop from there, ms", "wide_loop_seconds", "ms", ""),
)
"""What is shown, the field of a row, its kind and its target."""


def all_focus_tables(result: Mapping[str, Any]) -> list[Table]:
    """All tables of one result of ``mctool evaluate focus --json``; of older ones, those that they have figures for."""
    return [
        *focus_tables(result["rows"], result["sets"]),
        *third_tables(result.get("thirds", [])),
        *loop_tables(result.get("loops", [])),
    ]


def loop_tables(rows: Iterable[Row]) -> list[Table]:
    """One table, a column a set, beside the targets; none without rows.

    Args:
        rows: ``loops`` of ``mctool evaluate focus --json``.
    """
    listed = list(rows)
    if not listed:
        return []
    table = _table("the refocus loop as ask runs it; medians of times")
    table.add_column("", no_wrap=True)
    for row in listed:
        title = f"{safe_line(row['set'])}: {row['n']} questions, {safe_line(row['lens'])} lens"
        table.add_column(title, justify="right")
    table.add_column("target", justify="right")
    for words, field, kind, target in _LOOP:
        table.add_row(words, *(_shown(row[field], kind) for row in listed), target)
    return [table]


def third_tables(rows: Iterable[Row]) -> list[Table]:
    """One table a set: recall of each signal by third of the questions.

    Args:
        rows: ``thirds`` of ``mctool evaluate focus --json``.
    """
    tables = []
    for name, of_set in groupby(rows, key=lambda row: row["set"]):
        signals = [list(group) for _, group in groupby(of_set, key=lambda row: row["signal"])]
        table = _table(
            f"{safe_line(name)}: share of answers in {signals[0][0]['budget']} raw tokens, "
            "by the share of the question's words that the answer's blocks hold"
        )
        table.add_column("third", no_wrap=True)
        for row in signals[0]:
            bounds = f"{_shown(row['least_overlap'], 'share')} to {_shown(row['most_overlap'], 'share')}"
            table.add_column(f"{row['third']}, {bounds} (n = {row['n']})", justify="right")
        for signal in signals:
            shares = (f"{_shown(row['recall'], 'share')}±{_shown(row['se'], 'share')}" for row in signal)
            table.add_row(safe_line(signal[0]["signal"]), *shares)
        tables.append(table)
    return tables


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))


def _shown(value: float | None, kind: str) -> str:
    if value is None:
        return ""
    if kind == "share":
        return f"{value:.3f}".removeprefix("0")
    return f"{1000 * value:.1f}" if kind == "ms" else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
