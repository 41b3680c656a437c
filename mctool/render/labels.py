"""Names that hang below a line at given columns, on few rows, without overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from mctool.render.safe_text import fit_start

SHORTEST = 14
"""A name is cut to this many columns before it is hung to the left of its column."""


@dataclass(frozen=True)
class Label:
    """A name and the column from which it hangs."""

    column: int
    name: str


@dataclass(frozen=True)
class Hooks:
    """What ties a name to its column: a name to the right, a name to the left, and a name on a lower row."""

    right: str
    left: str
    down: str


def place_labels(labels: Sequence[Label], width: int, max_rows: int, hooks: Hooks) -> tuple[list[str], int]:
    """Place names below their columns; a long name loses its start.

    Args:
        labels: At most one for each column, ascending.
        width: Columns of a row.
        max_rows: Most rows to use.
        hooks: The characters that tie names to columns.

    Returns:
        The rows, and how many names found no place.
    """
    rows: list[list[tuple[int, int, str]]] = []
    left_out = 0
    for label in reversed(labels):  # a name runs to the right, so the last one is free to hang highest
        placed = _place(label, rows, width, max_rows, hooks)
        left_out += not placed
    return [_joined(row) for row in rows if row], left_out


def _place(label: Label, rows: list[list[tuple[int, int, str]]], width: int, max_rows: int, hooks: Hooks) -> bool:
    start, text = _hung(label, width, hooks)
    tie = (label.column, label.column + 1, hooks.down)
    for depth in range(max_rows):
        if depth == len(rows):
            rows.append([])
        if _is_free(rows[depth], start, start + cell_len(text)):
            rows[depth].append((start, start + cell_len(text), text))
            for above in rows[:depth]:
                above.append(tie)
            return True
        if not _is_free(rows[depth], *tie[:2]):
            return False
    return False


def _hung(label: Label, width: int, hooks: Hooks) -> tuple[int, str]:
    """Where the text of a label begins, and the text: right of its column where there is room, else left of it."""
    room = width - label.column - cell_len(hooks.right)
    if room >= min(cell_len(label.name), SHORTEST) or room >= label.column:
        return label.column, hooks.right + fit_start(label.name, room)
    name = fit_start(label.name, label.column + 1 - cell_len(hooks.left))
    return label.column + 1 - cell_len(name + hooks.left), name + hooks.left


def _is_free(row: list[tuple[int, int, str]], start: int, end: int) -> bool:
    return all(end < other_start or start > other_end for other_start, other_end, _ in row)


def _joined(row: list[tuple[int, int, str]]) -> str:
    line, reached = "", 0
    for start, end, text in sorted(row):
        line += " " * (start - reached) + text
        reached = end
    return line
