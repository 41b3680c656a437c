"""The SQLite catalog: what the tree holds, and the one commit point and the lock of every ingest."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, TreeDamagedError, TreeNotFoundError, UsageError
from mctool.core.places import Marks
from mctool.core.timeline import Timeline
from mctool.tree.failures import REINGEST, is_read_only, sqlite_failures, write_failures
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.layout import ARCHIVE_FORMAT, FORMAT_VERSION, Layout
from mctool.tree.rows import ArchivedText, Document, Ingest, Segment, StoredDocument

READER_WAIT_S = 10.0
"""How long a reader waits while SQLite recovers or checkpoints; writers never block readers for longer than that."""

WRITER_WAIT_S = 0.2
"""Long enough to outlast the checkpoint of a writer that has just finished, short enough to be told at once."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ingests (
    id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, seconds REAL NOT NULL, sources TEXT NOT NULL,
    version TEXT NOT NULL, added INTEGER NOT NULL, updated INTEGER NOT NULL, unchanged INTEGER NOT NULL,
    retired INTEGER NOT NULL, skipped INTEGER NOT NULL, tokens_added INTEGER NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, encoding TEXT NOT NULL, first_block INTEGER NOT NULL UNIQUE,
    n_blocks INTEGER NOT NULL, n_tokens INTEGER NOT NULL, n_chars INTEGER NOT NULL, n_lines INTEGER NOT NULL,
    added_by INTEGER NOT NULL REFERENCES ingests(id), retired_by INTEGER REFERENCES ingests(id));
CREATE UNIQUE INDEX live_path ON documents(path) WHERE retired_by IS NULL;
CREATE TABLE segments (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, n_blocks INTEGER NOT NULL,
    revision INTEGER NOT NULL, files TEXT NOT NULL);
"""
_DOCUMENT_COLUMNS = ", ".join(one.name for one in fields(Document))
N_DOCUMENT = len(fields(Document))
_TYPES: dict[object, type] = {"int": int, "str": str, "float": float}
_DOCUMENT_TYPES = tuple(_TYPES.get(one.type) for one in fields(Document))
_SEGMENT_NAME = re.compile(r"\d{6,10}-[0-9a-f]{12}(r\d+)?")
_FILE_PATH = re.compile(r"[a-z][a-z0-9_-]*(\.json|(/[a-z0-9_-]+)*(/zarr\.json)?)")


@dataclass(frozen=True)
class Snapshot:
    """The catalog as of one commit: live documents in timeline order, segments and ingests by number.

    ``archived`` holds documents whose text is archived, by id; some of them may be retired by now.
    """

    format: int
    fingerprint: Fingerprint
    generation: int
    documents: list[Document]
    segments: list[Segment]
    history: list[Ingest]
    archived: dict[int, ArchivedText] = field(default_factory=dict)

    def timeline(self) -> Timeline:
        """Where the live documents lie.

        Raises:
            TreeDamagedError: They overlap, or lie where nothing is.
        """
        try:
            self._check_places()
            return Timeline.of_documents([(document.first_block, document.n_tokens) for document in self.documents])
        except ValueError as error:
            raise TreeDamagedError(f"the catalog makes no sense: {error}", REINGEST) from error

    def _check_places(self) -> None:
        """Every document must fill its blocks, and they must lie in segments that there are."""
        columns = [(one.first_block, one.n_blocks, one.n_tokens, one.n_chars, one.n_lines) for one in self.documents]
        table = np.array(columns, np.int64).reshape(-1, 5)
        first, n_blocks, n_tokens = table.T[:3]
        if np.any(table < 0) or np.any(n_tokens < 1) or np.any(n_blocks != -(-n_tokens // BLOCK_TOKENS)):
            raise ValueError("a document has impossible counts")
        numbers = np.array([segment.number for segment in self.segments], np.int64)
        held = np.array([segment.n_blocks for segment in self.segments], np.int64)
        for number, place in (np.divmod(first, SEGMENT_BLOCKS), np.divmod(first + n_blocks - 1, SEGMENT_BLOCKS)):
            if len(number) and not (np.isin(number, numbers).all() and len(numbers)):
                raise ValueError("a document lies in a segment that is not there")
            if np.any(place >= held[np.searchsorted(numbers, number)]):
                raise ValueError("a document lies beyond its segment")


def create_catalog(layout: Layout, fingerprint: Fingerprint) -> None:
    """Make the empty catalog of a new tree, in one transaction.

    Raises:
        UsageError: There is a tree already.
        TreeDamagedError: There are segments but no catalog.
        ResourceError: The place cannot be written.
    """
    if not layout.catalog.exists() and _has_segments(layout):
        raise _catalog_missing(layout)
    with write_failures(layout.root):
        layout.segments.mkdir(parents=True, exist_ok=True)
    with sqlite_failures(layout.catalog), closing(connect_writer(layout)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if _is_initialised(connection):
            raise UsageError(f"{layout.root} is already a tree", "ingest into it, or name another place with --tree")
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        meta = {"format": str(FORMAT_VERSION), "generation": "0", "fingerprint": json.dumps(fingerprint.to_json())}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        note_digest(connection, 0)
        connection.execute("COMMIT")


def read_snapshot(layout: Layout) -> Snapshot:
    """Read the state of the last commit. Works on a read-only file system too.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The catalog is missing or cannot be understood.
        MismatchError: A newer mctool made the tree.
    """
    with open_reader(layout) as connection:
        return snapshot_of(connection, layout)


@contextmanager
def open_reader(layout: Layout) -> Iterator[sqlite3.Connection]:
    """A read-only connection in one read transaction, so that all queries see the same commit.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The catalog is missing or damaged.
    """
    require_catalog(layout)
    with sqlite_failures(layout.catalog):
        try:
            connection = _connect_reader(layout, "mode=ro")
        except sqlite3.OperationalError as error:
            # A WAL database on a read-only disk cannot make its shared memory file. It is safe to read it as
            # unchanging as long as no write-ahead log waits to be merged.
            log = layout.catalog.with_name(layout.catalog.name + "-wal")
            if not is_read_only(error) or (log.exists() and log.stat().st_size):
                raise
            connection = _connect_reader(layout, "immutable=1")
        with closing(connection):
            yield connection


def snapshot_of(connection: sqlite3.Connection, layout: Layout) -> Snapshot:
    """Read the live part of the catalog through an open connection."""
    try:
        version, fingerprint, generation = _read_meta(connection, layout)
        documents = connection.execute(
            f"SELECT {_DOCUMENT_COLUMNS} FROM documents WHERE retired_by IS NULL ORDER BY first_block"
        )
        return Snapshot(
            format=version,
            fingerprint=fingerprint,
            generation=generation,
            documents=[_document(row) for row in documents],
            segments=[_segment(row) for row in connection.execute("SELECT * FROM segments ORDER BY number")],
            history=[_ingest(row) for row in connection.execute("SELECT * FROM ingests ORDER BY id")],
            archived=_read_archived(connection),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError) as error:
        raise TreeDamagedError(f"{layout.catalog} holds a row that makes no sense: {error}", REINGEST) from error


def read_stored_documents(connection: sqlite3.Connection) -> list[StoredDocument]:
    """All documents, live and retired, by first block."""
    rows = connection.execute(f"SELECT {_DOCUMENT_COLUMNS}, added_by, retired_by FROM documents ORDER BY first_block")
    return [StoredDocument(_document(row[:N_DOCUMENT]), *row[N_DOCUMENT:]) for row in rows]


def digest_fits(connection: sqlite3.Connection) -> bool:
    """Whether all rows are as the last commit left them; True where that commit noted no digest.

    SQLite has no checksums: a flipped bit within a value would else go unseen.
    """
    noted = connection.execute("SELECT value FROM meta WHERE key = 'digest'").fetchone()
    (generation,) = connection.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
    if noted is None or int(noted[0].split(" ")[0]) < int(generation):
        return True  # the last commit was by a version of mctool that does not note it
    return bool(noted[0] == f"{generation} {_rows_digest(connection)}")


def note_digest(connection: sqlite3.Connection, generation: int) -> None:
    """Keep a digest of all rows as of a generation, within the transaction that makes it."""
    noted = f"{generation} {_rows_digest(connection)}"
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('digest', ?)", (noted,))


def _rows_digest(connection: sqlite3.Connection) -> str:
    """sha256 over all rows of all tables but the digest itself."""
    state = hashlib.sha256()
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (name,) in sorted(names.fetchall()):
        where = "WHERE key != 'digest'" if name == "meta" else ""
        state.update(name.encode())
        for row in connection.execute(f'SELECT * FROM "{name}" {where} ORDER BY 1, 2'):
            state.update(repr(row).encode("utf-8", "surrogatepass"))
    return state.hexdigest()


def read_marks(layout: Layout, document: int) -> Marks | None:
    """The places of the document with an id; None when its text is that of its file.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The catalog is missing or damaged.
    """
    with open_reader(layout) as connection:
        if not has_table(connection, "places"):
            return None
        row = connection.execute("SELECT marks FROM places WHERE document = ?", (document,)).fetchone()
    try:
        return None if row is None else tuple((int(start), str(label)) for start, label in json.loads(row[0]))
    except (ValueError, TypeError) as error:
        raise TreeDamagedError(f"{layout.catalog} holds places that make no sense: {error}", REINGEST) from error


def connect_writer(layout: Layout) -> sqlite3.Connection:
    """A connection that may write, every commit of which is synced."""
    connection = sqlite3.connect(layout.catalog, timeout=WRITER_WAIT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reader(layout: Layout, options: str) -> sqlite3.Connection:
    uri = f"{layout.catalog.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, timeout=READER_WAIT_S, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # BEGIN alone takes no snapshot yet
    except BaseException:
        connection.close()
        raise
    return connection


def _read_meta(connection: sqlite3.Connection, layout: Layout) -> tuple[int, Fingerprint, int]:
    if not _is_initialised(connection):
        if _has_segments(layout):
            raise _catalog_missing(layout)
        raise TreeNotFoundError(f"{layout.root} holds no finished tree", "make one with `mctool ingest`")
    meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    version = int(meta["format"])
    if version > ARCHIVE_FORMAT:
        raise MismatchError(
            f"{layout.root} has format {version}, this mctool reads up to format {ARCHIVE_FORMAT}",
            "upgrade with `pip install -U mctool`",
        )
    fingerprint = Fingerprint.from_json(json.loads(meta["fingerprint"]))
    if fingerprint.block_tokens != BLOCK_TOKENS:
        raise MismatchError(
            f"{layout.root} has blocks of {fingerprint.block_tokens} tokens, this mctool uses {BLOCK_TOKENS}",
            "ingest the sources into a new tree (--tree PATH)",
        )
    return version, fingerprint, int(meta["generation"])


def _read_archived(connection: sqlite3.Connection) -> dict[int, ArchivedText]:
    if not has_table(connection, "archived"):
        return {}
    return {row[0]: ArchivedText(*row) for row in connection.execute("SELECT * FROM archived")}


def _is_initialised(connection: sqlite3.Connection) -> bool:
    return has_table(connection, "meta")


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether there is a table of a name."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def require_catalog(layout: Layout) -> None:
    """Raise unless there is a catalog: TreeNotFoundError, or TreeDamagedError beside segments."""
    if layout.catalog.is_file():
        return
    if _has_segments(layout):
        raise _catalog_missing(layout)
    raise TreeNotFoundError(f"there is no tree at {layout.root}", "make one with `mctool ingest`")


def _has_segments(layout: Layout) -> bool:
    return layout.segments.is_dir() and any(not entry.name.startswith(".") for entry in layout.segments.iterdir())


def _catalog_missing(layout: Layout) -> TreeDamagedError:
    return TreeDamagedError(
        f"{layout.root} holds segments but no catalog", f"restore {layout.catalog.name}, or ingest into a new tree"
    )


def _document(row: tuple[Any, ...]) -> Document:
    if tuple(map(type, row)) != _DOCUMENT_TYPES:  # the quick look, as there may be very many
        _require_types(Document, row)
    return Document(*row)


def _segment(row: tuple[Any, ...]) -> Segment:
    """A segment whose directory and files can only lie below that of the segments."""
    number, name, n_blocks, revision, files = row
    if tuple(map(type, row)) != (int, str, int, int, str) or not _SEGMENT_NAME.fullmatch(name):
        raise ValueError(f"segment {number} is called {name!r}")
    if not (0 <= number < 2**31 and 0 < n_blocks <= SEGMENT_BLOCKS and 0 <= revision < 2**31):
        raise ValueError(f"segment {number} has impossible counts")
    checksums = {path: (int(size), str(digest)) for path, (size, digest) in json.loads(files).items()}
    if not all(map(_FILE_PATH.fullmatch, checksums)):
        raise ValueError(f"segment {number} has a file elsewhere")
    return Segment(number, name, n_blocks, revision, checksums)


def _ingest(row: tuple[Any, ...]) -> Ingest:
    values = list(row)
    values[3] = json.loads(row[3])
    _require_types(Ingest, values)
    if not isinstance(values[3], list) or not all(isinstance(source, str) for source in values[3]):
        raise ValueError(f"ingest {row[0]} names no list of sources")
    datetime.fromisoformat(values[1])
    return Ingest(*values)


def _require_types(kind: type[Document | Ingest], values: Sequence[Any]) -> None:
    """Plain fields must have plain values of their type: SQLite stores any value in any column."""
    for one, value in zip(fields(kind), values, strict=True):
        if type(value) is not _TYPES.get(one.type, type(value)):
            raise ValueError(f"{one.name} of {kind.__name__.lower()} {values[0]} is {value!r}")
