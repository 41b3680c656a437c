"""What a LOD map shows, before it is drawn: the timeline cut into equal cells, what changed, and the raw runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mctool.core.blocks import TOP_LOD
from mctool.core.records import FocusEntry


@dataclass(frozen=True)
class Cell:
    """An equal share of the timeline.

    Attributes:
        lod: Finest level that is shown in it.
        score: Highest focus score of its entries of that level.
    """

    lod: int
    score: float


@dataclass(frozen=True)
class Places:
    """Where tokens of the timeline stand in documents.

    Attributes:
        document_starts: Token position at which each document begins, ascending.
        line_range: (start_token, end_token) of a run of raw blocks of one document -> its first and last line, from 1,
            inclusive.
        directory: What all paths begin with, to be left out of names; ends with a slash where it is not empty.
    """

    document_starts: Sequence[int]
    line_range: Callable[[int, int], tuple[int, int]]
    directory: str = ""


@dataclass(frozen=True)
class Change:
    """A token range [start, end) that is shown at another level than before; ``finer`` when it was expanded."""

    start: int
    end: int
    finer: bool


@dataclass(frozen=True)
class RawRun:
    """Adjacent raw entries of one document.

    Attributes:
        path: The document; None when the entries do not say.
        start_token: First token position.
        end_token: One past the last.
        score: Highest focus score of its entries.
    """

    path: str | None
    start_token: int
    end_token: int
    score: float

    @property
    def n_tokens(self) -> int:
        """Tokens of the run."""
        return self.end_token - self.start_token


def total_tokens(entries: Sequence[FocusEntry]) -> int:
    """Tokens of the timeline that the entries tile; 0 without entries.

    Raises:
        ValueError: They leave a gap, overlap, or have a level that does not exist.
    """
    reached = 0
    for entry in entries:
        if entry.start_token != reached or entry.end_token <= entry.start_token:
            raise ValueError(f"an entry spans [{entry.start_token}, {entry.end_token}) where they reach {reached}")
        if not 0 <= entry.lod <= TOP_LOD:
            raise ValueError(f"an entry has LOD{entry.lod}; the levels are 0 to {TOP_LOD}")
        reached = entry.end_token
    return reached


def cut_into_cells(entries: Sequence[FocusEntry], start: float, end: float, n_cells: int) -> list[Cell | None]:
    """The range [start, end) of token positions as ``n_cells`` equal cells; None for a cell where no entry lies."""
    cells: list[Cell | None] = [None] * n_cells
    tokens_per_cell = (end - start) / n_cells
    for entry in entries:
        if entry.end_token <= start or entry.start_token >= end:
            continue
        first = max(int((entry.start_token - start) / tokens_per_cell), 0)
        last = min(int((entry.end_token - start) / tokens_per_cell - 1e-9), n_cells - 1)
        for place in range(first, max(last, first) + 1):
            cells[place] = _finer(cells[place], entry)
    return cells


def cell_of(token: int, total: int, n_cells: int) -> int:
    """The cell, of ``n_cells`` that share ``total`` tokens, in which a token lies."""
    return min(token * n_cells // total, n_cells - 1)


def find_changes(before: Sequence[FocusEntry], after: Sequence[FocusEntry]) -> list[Change]:
    """Where two tilings of one timeline differ in level, in timeline order.

    Raises:
        ValueError: They tile timelines of different lengths.
    """
    if total_tokens(before) != total_tokens(after):
        raise ValueError(f"the entries tile {total_tokens(after)} tokens, those before {total_tokens(before)}")
    changes: list[Change] = []
    old = new = position = 0
    while new < len(after):
        end = min(before[old].end_token, after[new].end_token)
        if before[old].lod != after[new].lod:
            finer = after[new].lod < before[old].lod
            if changes and changes[-1].end == position and changes[-1].finer == finer:
                changes[-1] = Change(changes[-1].start, end, finer)
            else:
                changes.append(Change(position, end, finer))
        old += before[old].end_token == end
        new += after[new].end_token == end
        position = end
    return changes


def find_raw_runs(entries: Sequence[FocusEntry]) -> list[RawRun]:
    """All raw runs, in timeline order."""
    runs: list[RawRun] = []
    for entry in entries:
        if entry.lod:
            continue
        last = runs[-1] if runs else None
        if last is not None and last.end_token == entry.start_token and last.path == entry.path:
            runs[-1] = RawRun(last.path, last.start_token, entry.end_token, max(last.score, entry.score))
        else:
            runs.append(RawRun(entry.path, entry.start_token, entry.end_token, entry.score))
    return runs


def find_boundaries(entries: Sequence[FocusEntry]) -> list[int]:
    """Token positions at which, as the entries alone tell, one document ends and another begins."""
    return [
        after.start_token
        for before, after in pairwise(entries)
        if before.path is not None and after.path is not None and before.path != after.path
    ]


def _finer(cell: Cell | None, entry: FocusEntry) -> Cell:
    if cell is None or entry.lod < cell.lod:
        return Cell(entry.lod, entry.score)
    return Cell(cell.lod, max(cell.score, entry.score)) if entry.lod == cell.lod else cell
