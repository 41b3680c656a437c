"""Mutation access counts: how often focus expanded, collapsed or cited each node.

They live in a file of their own, so that asking never waits for an ingest.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass

from mctool.core.blocks import SEGMENT_BLOCKS, TOP_LOD, blocks_per_node
from mctool.core.errors import ResourceError, TreeBusyError, TreeDamagedError
from mctool.tree.failures import is_read_only, sqlite_failures, write_failures
from mctool.tree.layout import Layout

Node = tuple[int, int]
WAIT_S = 10.0
"""Longest wait for others who count: each takes milliseconds, but many may ask at once, and SQLite keeps no queue."""

_SCHEMA = """CREATE TABLE IF NOT EXISTS access (
    lod INTEGER, "index" INTEGER, expanded INTEGER NOT NULL, collapsed INTEGER NOT NULL, cited INTEGER NOT NULL,
    PRIMARY KEY (lod, "index")) WITHOUT ROWID"""
_ADD = """INSERT INTO access VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    expanded = expanded + excluded.expanded,
    collapsed = collapsed + excluded.collapsed,
    cited = cited + excluded.cited"""


@dataclass(frozen=True)
class AccessCount:
    """How often one node (lod, index) was touched."""

    lod: int
    index: int
    expanded: int
    collapsed: int
    cited: int


def record_access(
    layout: Layout, expanded: Iterable[Node] = (), collapsed: Iterable[Node] = (), cited: Iterable[Node] = ()
) -> bool:
    """Add one to the count of each node, as often as it is given.

    Returns:
        False when the counts cannot be kept because the tree is read-only, its disk is full or others keep it busy.

    Raises:
        TreeDamagedError: The file of counts is damaged.
    """
    counts = [Counter(nodes) for nodes in (expanded, collapsed, cited)]
    touched = sorted(counts[0].keys() | counts[1].keys() | counts[2].keys())
    rows = [(int(lod), int(index), *(count[lod, index] for count in counts)) for lod, index in touched]
    if not rows:
        return True
    try:
        with sqlite_failures(layout.access):
            connection = sqlite3.connect(layout.access, timeout=WAIT_S, isolation_level=None)
            with closing(connection):
                # The rollback journal: a switch to the write-ahead log fails at once when two of them meet.
                connection.execute("PRAGMA synchronous = NORMAL")  # a power failure may cost counts, nothing else
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_SCHEMA)
                connection.executemany(_ADD, rows)
                connection.execute("COMMIT")
    except (ResourceError, TreeBusyError):
        return False
    return True


def move_access(layout: Layout, moves: Iterable[tuple[int, int, int]], removed: Iterable[int]) -> None:
    """Let counts follow blocks that have moved; those of blocks that are gone, and of their coarser nodes, go.

    The counts are kept as they are where they cannot be written; then those of moved blocks are lost.

    Args:
        layout: The tree.
        moves: (first block, number of blocks, new first block) of each document that moved.
        removed: Numbers of the segments that are gone.

    Raises:
        TreeDamagedError: The file of counts is damaged.
    """
    if not read_access_counts(layout):
        return
    with suppress(ResourceError, TreeBusyError), sqlite_failures(layout.access):
        connection = sqlite3.connect(layout.access, timeout=WAIT_S, isolation_level=None)
        with closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                'UPDATE OR REPLACE access SET "index" = "index" + ? WHERE lod <= 1 AND "index" BETWEEN ? AND ?',
                [(new - old, old, old + n_blocks - 1) for old, n_blocks, new in moves],
            )
            connection.executemany(
                'DELETE FROM access WHERE lod = ? AND "index" BETWEEN ? AND ?',
                [
                    (lod, number * nodes, (number + 1) * nodes - 1)
                    for number in removed
                    for lod in range(TOP_LOD + 1)
                    for nodes in (SEGMENT_BLOCKS // blocks_per_node(lod),)
                ],
            )
            connection.execute("COMMIT")


def read_access_counts(layout: Layout) -> list[AccessCount]:
    """All counts, the most often touched nodes first; empty when nothing was ever recorded.

    Raises:
        TreeDamagedError: The file of counts is damaged.
    """
    if not layout.access.is_file():
        return []
    uri = layout.access.absolute().as_uri()
    with sqlite_failures(layout.access):
        try:
            return _query(f"{uri}?mode=ro")
        except sqlite3.OperationalError as error:
            if not is_read_only(error):
                raise
            return _query(f"{uri}?immutable=1")


def remove_damaged_counts(layout: Layout) -> None:
    """Remove the file of counts if it is damaged; counting begins anew. What it held cannot be had again.

    Raises:
        ResourceError: It cannot be read or removed.
    """
    try:
        read_access_counts(layout)
    except TreeDamagedError:
        with write_failures(layout.root):
            for file in layout.root.glob(f"{layout.access.name}*"):
                file.unlink(missing_ok=True)


def _query(uri: str) -> list[AccessCount]:
    order = 'expanded + collapsed + cited DESC, lod, "index"'
    with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_S)) as connection:
        # A process that died while it made the file leaves it without its table.
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'access'").fetchone() is None:
            return []
        (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        rows = connection.execute(f"SELECT * FROM access ORDER BY {order}").fetchall()
        if not all(type(value) is int and value >= 0 for row in rows for value in row):
            raise sqlite3.DatabaseError("it holds what is no count")
        return [AccessCount(*row) for row in rows]
