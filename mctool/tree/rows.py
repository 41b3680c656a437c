"""The rows of the catalog, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.core.places import Marks

FileChecksums = dict[str, tuple[int, str]]
"""Files of a segment: relative POSIX path -> (bytes, sha256)."""


@dataclass(frozen=True)
class DocumentMeta:
    """What the source of a document says about it: its path, and the sha256, size and mtime of its raw bytes.

    ``encoding`` is the codec of its text, or the format that it was extracted from; then it has ``marks``.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    encoding: str
    marks: Marks | None = None


@dataclass(frozen=True)
class Document:
    """A document of the tree.

    Its blocks are the ids [first_block, first_block + n_blocks): each holds 32 tokens, the last one what is left.
    Characters are code points of the decoded text; lines end at a line feed.
    """

    id: int
    path: str
    sha256: str
    size: int
    mtime_ns: int
    encoding: str
    first_block: int
    n_blocks: int
    n_tokens: int
    n_chars: int
    n_lines: int

    @property
    def end_block(self) -> int:
        """One past the last block id."""
        return self.first_block + self.n_blocks


@dataclass(frozen=True)
class StoredDocument:
    """A document with its history: the ingests that added and retired it (None while it is live)."""

    document: Document
    added_by: int
    retired_by: int | None


@dataclass(frozen=True)
class Segment:
    """A sealed segment: its directory name, its blocks, the current revision of its parents, its files."""

    number: int
    name: str
    n_blocks: int
    revision: int
    files: FileChecksums


@dataclass(frozen=True)
class Ingest:
    """One committed ingest. ``started_at`` is ISO 8601 in UTC; the counts are of documents."""

    id: int
    started_at: str
    seconds: float
    sources: list[str]
    version: str
    added: int
    updated: int
    unchanged: int
    retired: int
    skipped: int
    tokens_added: int


@dataclass(frozen=True)
class Changes:
    """What one commit does to the catalog. ``segments`` are new ones, or known ones with new parents."""

    ingest: Ingest
    added: list[Document]
    retired: list[int]
    touched: list[tuple[int, int, int]]
    """(document id, size, mtime_ns)"""
    segments: list[Segment]
    marks: dict[int, Marks]
    """Document id -> places, for added documents whose text was extracted."""


@dataclass(frozen=True)
class ArchivedText:
    """Where the text of an archived document is: its id, the file below ``archive/``, its bytes and sha256."""

    document: int
    file: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Rewrite:
    """What a rewrite of segments does to the catalog: the same documents, stored elsewhere.

    Attributes:
        moved: (document id, new first block) of the live documents that moved.
        forgotten: Ids of the retired documents whose blocks are gone.
        removed: Numbers of the segments that are gone.
        segments: The new segments.
        archived: All archived documents from now on.
    """

    moved: list[tuple[int, int]]
    forgotten: list[int]
    removed: list[int]
    segments: list[Segment]
    archived: list[ArchivedText]
