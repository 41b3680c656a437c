"""Writing the catalog of a tree: the write lock, and commits as one transaction each."""

from __future__ import annotations

import json
from dataclasses import astuple

from mctool.tree.catalog import (
    N_DOCUMENT,
    connect_writer,
    has_table,
    note_digest,
    read_stored_documents,
    require_catalog,
    snapshot_of,
)
from mctool.tree.failures import sqlite_failures
from mctool.tree.layout import ARCHIVE_FORMAT, FORMAT_VERSION, Layout
from mctool.tree.rows import Changes, Rewrite, Segment, StoredDocument

_ARCHIVED_SCHEMA = """CREATE TABLE IF NOT EXISTS archived (
    document INTEGER PRIMARY KEY, file TEXT NOT NULL, n_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL)"""
_PLACES_SCHEMA = """CREATE TABLE IF NOT EXISTS places (
    document INTEGER PRIMARY KEY REFERENCES documents(id), marks TEXT NOT NULL)"""
"""Like the one above no part of the first trees of this format: made when there is something to put in."""


class CatalogWriter:
    """The write lock of a tree, from construction until ``commit`` or ``close``.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another process holds the lock.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        require_catalog(layout)
        with sqlite_failures(layout.catalog):
            self._connection = connect_writer(layout)
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self.snapshot = snapshot_of(self._connection, layout)
                self.next_document = self._next_id("documents")
                self.next_ingest = self._next_id("ingests")
            except BaseException:
                self._connection.close()
                raise

    def commit(self, changes: Changes) -> int:
        """Write all changes and make them durable, as one transaction.

        Returns:
            The new generation.
        """
        generation = self.snapshot.generation + 1
        with sqlite_failures(self._layout.catalog):
            write, ingest = self._connection.execute, changes.ingest
            many = self._connection.executemany
            row = {**vars(ingest), "sources": json.dumps(ingest.sources)}
            write(f"INSERT INTO ingests VALUES ({_marks(len(row))})", tuple(row.values()))
            many("UPDATE documents SET retired_by = ? WHERE id = ?", [(ingest.id, old) for old in changes.retired])
            many("UPDATE documents SET size = ?, mtime_ns = ? WHERE id = ?", [(s, m, i) for i, s, m in changes.touched])
            many(
                f"INSERT INTO documents VALUES ({_marks(N_DOCUMENT + 2)})",
                [(*astuple(document), ingest.id, None) for document in changes.added],
            )
            self._put_segments(changes.segments)
            if changes.marks:
                write(_PLACES_SCHEMA)
                many("INSERT INTO places VALUES (?, ?)", [(i, json.dumps(m)) for i, m in changes.marks.items()])
            self._commit(generation)
        return generation

    def commit_rewrite(self, rewrite: Rewrite) -> int:
        """Make a rewrite of segments visible and durable, as one transaction.

        Returns:
            The new generation.
        """
        generation = self.snapshot.generation + 1
        with sqlite_failures(self._layout.catalog):
            write, many = self._connection.execute, self._connection.executemany
            forgotten = [(document,) for document in rewrite.forgotten]
            if has_table(self._connection, "places"):
                many("DELETE FROM places WHERE document = ?", forgotten)
            many("DELETE FROM documents WHERE id = ?", forgotten)
            many("UPDATE documents SET first_block = ? WHERE id = ?", [(first, id_) for id_, first in rewrite.moved])
            many("DELETE FROM segments WHERE number = ?", [(number,) for number in rewrite.removed])
            self._put_segments(rewrite.segments)
            if rewrite.archived or self.snapshot.archived:
                version = ARCHIVE_FORMAT if rewrite.archived else FORMAT_VERSION
                write(_ARCHIVED_SCHEMA)
                write("DELETE FROM archived")
                many("INSERT INTO archived VALUES (?, ?, ?, ?)", [astuple(entry) for entry in rewrite.archived])
                write("UPDATE meta SET value = ? WHERE key = 'format'", (str(version),))
            self._commit(generation)
        return generation

    def replace_segments(self, segments: list[Segment]) -> None:
        """Let the catalog name other directories for known segments with the same content, as one transaction."""
        with sqlite_failures(self._layout.catalog):
            self._put_segments(segments)
            self._commit(self.snapshot.generation + 1)

    def stored_documents(self) -> list[StoredDocument]:
        """All documents, live and retired, by first block."""
        with sqlite_failures(self._layout.catalog):
            return read_stored_documents(self._connection)

    def _commit(self, generation: int) -> None:
        """End the transaction as a new generation, with a digest of all rows."""
        self._connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (str(generation),))
        note_digest(self._connection, generation)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Release the lock; what was not committed is rolled back."""
        with sqlite_failures(self._layout.catalog):
            self._connection.close()

    def _put_segments(self, segments: list[Segment]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?)",
            [(s.number, s.name, s.n_blocks, s.revision, json.dumps(s.files)) for s in segments],
        )

    def _next_id(self, table: str) -> int:
        (last,) = self._connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()
        return int(last) + 1


def _marks(n: int) -> str:
    return ", ".join("?" * n)
