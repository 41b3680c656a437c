"""Moving live documents into new segments, without the nets that made their gists and keys.

A gist of a block depends on its tokens alone, and a lens key on its document, so both are copied; only coarser gists
are made anew. New segments are written beside the old ones, one transaction of the catalog puts them in their place,
and the old ones are removed when nobody reads them. A process that dies on the way leaves the tree as it was.

Shape letters: B blocks, d width of a gist, D width of a key.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS
from mctool.core.errors import MismatchError
from mctool.tree.access import move_access
from mctool.tree.archive import read_archive, remove_archive_leftovers, without_text, write_archive
from mctool.tree.catalog_writer import CatalogWriter
from mctool.tree.centroids import KeyArray, ScaleArray
from mctool.tree.compact import plan_compaction, units_of
from mctool.tree.content import Blocks, IdArray, IntArray, SegmentBuffer
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.gists import GistArray, GistBuilder, build_parents
from mctool.tree.keys import read_keys, remove_key_leftovers, whole_encoders, write_keys
from mctool.tree.layout import Layout
from mctool.tree.lexical import LexicalWriter
from mctool.tree.locks import no_readers
from mctool.tree.rows import ArchivedText, Document, Rewrite, Segment
from mctool.tree.segment_reader import SegmentReader
from mctool.tree.segments import remove_leftovers, write_segment

Keys = dict[str, tuple[KeyArray, ScaleArray]]
"""Lens keys [B, D] and scales [B] by the fingerprint of their encoder."""


@dataclass(frozen=True)
class Compaction:
    """What a rewrite of segments did.

    Attributes:
        merged: Segments whose live documents moved.
        made: New segments.
        moved_blocks: Live blocks that moved.
        dropped_blocks: Retired blocks that are gone.
        bytes_before: Bytes of the merged segments, without lens keys.
        bytes_after: Bytes of the new ones.
    """

    merged: int = 0
    made: int = 0
    moved_blocks: int = 0
    dropped_blocks: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


def compact_tree(
    path: Path, builder: GistBuilder | None, everything: bool = False, progress: Callable[[int], None] | None = None
) -> Compaction:
    """Merge segments of the tree at ``path``: those that are due, or all that can be.

    Args:
        path: Directory of the tree.
        builder: Makes coarse gists; None exactly when the tree was made without gists.
        everything: See :func:`mctool.tree.compact.plan_compaction`.
        progress: Told the number of blocks that have moved.

    Returns:
        What was done; all zeros when there was nothing to do, and then nothing was written.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another writer holds the lock.
        TreeDamagedError: The catalog or a segment cannot be understood.
        MismatchError: The tree has gists and there is no builder.
        ResourceError: The disk is full; the tree is as it was.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    try:
        numbers = plan_compaction(catalog.snapshot.segments, catalog.stored_documents(), everything)
        return rewrite_segments(layout, catalog, builder, set(numbers), progress) if numbers else Compaction()
    finally:
        catalog.close()


def archive_documents(
    path: Path,
    builder: GistBuilder | None,
    archive: Collection[int] = (),
    restore: Collection[int] = (),
    progress: Callable[[int], None] | None = None,
) -> Compaction:
    """Archive the text of some live documents of the tree at ``path``, and bring back that of others.

    Args:
        path: Directory of the tree.
        builder: As for :func:`compact_tree`, whose errors are raised here too.
        archive: Ids of documents; those that are archived already stay so.
        restore: Ids of archived documents.
        progress: Told the number of blocks that have moved.

    Raises:
        ResourceError: A file of the archive is not there, or the disk is full; the tree is as it was.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    try:
        known = catalog.snapshot.archived
        changes = _Changes(frozenset(archive) - known.keys(), frozenset(restore) & known.keys())
        changing = changes.archive | changes.restore
        places = {number for one in catalog.snapshot.documents if one.id in changing for number in _numbers(one)}
        units = units_of(catalog.snapshot.segments, catalog.stored_documents())
        numbers = {number for unit in units if places & {*unit.numbers} for number in unit.numbers}
        if not numbers:
            return Compaction()
        return rewrite_segments(layout, catalog, builder, numbers, progress, changes)
    finally:
        catalog.close()


@dataclass(frozen=True)
class _Changes:
    """Ids of the documents that are archived, and of those that are restored."""

    archive: frozenset[int] = frozenset()
    restore: frozenset[int] = frozenset()


def rewrite_segments(
    layout: Layout,
    catalog: CatalogWriter,
    builder: GistBuilder | None,
    numbers: set[int],
    progress: Callable[[int], None] | None = None,
    changes: _Changes = _Changes(),
) -> Compaction:
    """Move the live documents of some whole units of segments to new segments, and commit.

    Arguments and what is raised are those of :func:`compact_tree`; ``catalog`` holds the write lock.
    """
    snapshot = catalog.snapshot
    if snapshot.fingerprint.has_gists != (builder is not None):
        raise MismatchError(f"{layout.root} holds gists or not, and the nets in use are not so", "use its own nets")
    old = [segment for segment in snapshot.segments if segment.number in numbers]
    kept = [segment for segment in snapshot.segments if segment.number not in numbers]
    moving = [one for one in snapshot.documents if one.first_block // SEGMENT_BLOCKS in numbers]
    forgotten = [
        entry.document.id
        for entry in catalog.stored_documents()
        if entry.retired_by is not None and entry.document.first_block // SEGMENT_BLOCKS in numbers
    ]
    archived = {key: entry for key, entry in snapshot.archived.items() if key not in forgotten}
    source = _Source(layout, old, snapshot.fingerprint, moving)
    target = _Target(layout, snapshot.fingerprint, builder, snapshot.segments[-1].number + 1)
    lexical = LexicalWriter(layout, snapshot.generation, snapshot.documents)
    try:
        moved = _move(moving, source, target, lexical, _Archive(layout, changes, archived), progress)
        new = target.finish()
        lexical.prepare()
    except BaseException:
        target.remove()
        raise
    finally:
        lexical.close()
    # From here on new segments stay, for an interrupted commit may have been one; a later one removes leftovers.
    generation = catalog.commit_rewrite(
        Rewrite([(one.id, one.first_block) for one in moved], forgotten, sorted(numbers), new, [*archived.values()])
    )
    lexical.finish(generation)
    moves = [(a.first_block, a.n_blocks, b.first_block) for a, b in zip(moving, moved, strict=True)]
    move_access(layout, moves, sorted(numbers))
    with suppress(OSError), no_readers(layout.segments) as alone:
        if alone:
            remove_leftovers(layout, [*kept, *new])
            remove_key_leftovers(layout, [*kept, *new], None)
    remove_archive_leftovers(layout, [*archived.values()])
    n_moved = sum(document.n_blocks for document in moved)
    return Compaction(
        merged=len(old),
        made=len(new),
        moved_blocks=n_moved,
        dropped_blocks=sum(segment.n_blocks for segment in old) - n_moved,
        bytes_before=_bytes_of(old),
        bytes_after=_bytes_of(new),
    )


def _move(
    documents: list[Document],
    source: _Source,
    target: _Target,
    lexical: LexicalWriter,
    archive: _Archive,
    progress: Callable[[int], None] | None,
) -> list[Document]:
    """Copy documents; gives them as they lie now."""
    moved: list[Document] = []
    n_blocks = 0
    for document in documents:
        blocks, gists, keys = source.read(document)
        blocks, stored = archive.change(document, blocks)
        moved.append(replace(document, first_block=target.add(stored, gists, keys)))
        lexical.add(moved[-1], [text.decode() for text in blocks.texts])
        n_blocks += document.n_blocks
        if progress is not None:
            progress(n_blocks)
    return moved


@dataclass(frozen=True)
class _Archive:
    """Takes text into the archive and out of it; ``entries`` says what is in it, by document."""

    layout: Layout
    changes: _Changes
    entries: dict[int, ArchivedText]

    def change(self, document: Document, blocks: Blocks) -> tuple[Blocks, Blocks]:
        """The blocks of a document with all text that is known, and as the tree is to hold them."""
        if document.id in self.changes.archive:
            self.entries[document.id] = write_archive(self.layout, document, blocks)
            return blocks, without_text(blocks)
        if document.id in self.changes.restore:
            blocks = read_archive(self.layout, self.entries.pop(document.id), blocks)
        return blocks, blocks


def _bytes_of(segments: Iterable[Segment]) -> int:
    return sum(size for segment in segments for size, _ in segment.files.values())


@dataclass(frozen=True)
class _Loaded:
    """A whole segment in memory; rows are its blocks."""

    ids: IdArray
    char_start: IntArray
    line_start: IntArray
    bounds: list[int]
    text: bytes
    gists: GistArray | None
    keys: Keys


class _Source:
    """The segments that are read; one is held at a time, for documents come in the order of their blocks."""

    def __init__(
        self, layout: Layout, segments: list[Segment], fingerprint: Fingerprint, documents: list[Document]
    ) -> None:
        self._layout = layout
        self._fingerprint = fingerprint
        self._segments = {segment.number: segment for segment in segments}
        used = {number for one in documents for number in _numbers(one)}
        self._encoders = whole_encoders(layout, [segment for segment in segments if segment.number in used])
        self._number = -1
        self._loaded: _Loaded | None = None

    def read(self, document: Document) -> tuple[Blocks, GistArray | None, Keys]:
        """A whole document: its blocks, their gists [B, d], their keys."""
        parts = [self._part(document, number) for number in _numbers(document)]
        lengths = np.full(document.n_blocks, BLOCK_TOKENS, np.int64)
        lengths[-1] = document.n_tokens - (document.n_blocks - 1) * BLOCK_TOKENS
        blocks = Blocks(
            ids=np.concatenate([one.ids for one in parts]),
            lengths=lengths,
            char_start=np.concatenate([one.char_start for one in parts]),
            line_start=np.concatenate([one.line_start for one in parts]),
            texts=[
                one.text[start:end] for one in parts for start, end in zip(one.bounds, one.bounds[1:], strict=False)
            ],
        )
        gists = [one.gists for one in parts if one.gists is not None]
        keys = {encoder: _joined([one.keys[encoder] for one in parts]) for encoder in self._encoders}
        return blocks, np.concatenate(gists) if gists else None, keys

    def _part(self, document: Document, number: int) -> _Loaded:
        """What of a document lies in one segment; ``text`` stays that of the segment."""
        whole = self._load(number)
        first = max(document.first_block - number * SEGMENT_BLOCKS, 0)
        end = min(document.end_block - number * SEGMENT_BLOCKS, SEGMENT_BLOCKS)
        rows = slice(first, end)
        return _Loaded(
            ids=whole.ids[rows],
            char_start=whole.char_start[rows],
            line_start=whole.line_start[rows],
            bounds=whole.bounds[first : end + 1],
            text=whole.text,
            gists=None if whole.gists is None else whole.gists[rows],
            keys={encoder: (keys[rows], scale[rows]) for encoder, (keys, scale) in whole.keys.items()},
        )

    def _load(self, number: int) -> _Loaded:
        if self._loaded is None or self._number != number:
            segment = self._segments[number]
            reader, rows = SegmentReader(self._layout, segment), np.arange(segment.n_blocks)
            bounds = reader.byte_bounds().tolist()
            self._number = number
            self._loaded = _Loaded(
                ids=reader.ids(rows),
                char_start=reader.char_starts(),
                line_start=reader.line_starts(),
                bounds=bounds,
                text=reader.text(0, segment.n_blocks),
                gists=reader.gists(1, rows) if self._fingerprint.has_gists else None,
                keys={encoder: read_keys(self._layout, segment, encoder) for encoder in self._encoders},
            )
        return self._loaded


class _Target:
    """The segments that are written."""

    def __init__(
        self, layout: Layout, fingerprint: Fingerprint, builder: GistBuilder | None, first_number: int
    ) -> None:
        self._layout = layout
        self._fingerprint = fingerprint
        self._builder = builder
        self._number = first_number
        self._segments: list[Segment] = []
        self._empty()

    def _empty(self) -> None:
        self._buffer = SegmentBuffer()
        self._gists: list[GistArray] = []
        self._keys: dict[str, list[tuple[KeyArray, ScaleArray]]] = {}

    def add(self, blocks: Blocks, gists: GistArray | None, keys: Keys) -> int:
        """Append a document; the id of its first block."""
        first_block: int = self._number * SEGMENT_BLOCKS + self._buffer.n_blocks
        start = 0
        while start < len(blocks):
            rows = slice(start, min(start + self._buffer.room, len(blocks)))
            self._buffer.append(blocks[rows])
            if gists is not None:
                self._gists.append(gists[rows])
            for encoder, (of_blocks, scale) in keys.items():
                self._keys.setdefault(encoder, []).append((of_blocks[rows], scale[rows]))
            start = rows.stop
            if not self._buffer.room:
                self._seal()
        return first_block

    def finish(self) -> list[Segment]:
        """Seal what is left; all segments."""
        if self._buffer.n_blocks:
            self._seal()
        return self._segments

    def remove(self) -> None:
        """Remove the sealed segments, which no catalog names: nobody would take them up again."""
        for segment in self._segments:
            shutil.rmtree(self._layout.segment(segment.name), ignore_errors=True)

    def _seal(self) -> None:
        content = self._buffer.content()
        gists: dict[int, GistArray] = {}
        if self._builder is not None:
            leaves = np.concatenate(self._gists)
            gists = {1: leaves, **build_parents(self._builder, leaves, np.ones(len(leaves), np.bool_))}
        digest = content.digest(self._fingerprint)
        segment = write_segment(self._layout, self._number, content, self._fingerprint, digest, gists)
        for encoder, parts in self._keys.items():
            write_keys(self._layout, segment, encoder, *_joined(parts))
        self._segments.append(segment)
        self._number += 1
        self._empty()


def _numbers(document: Document) -> range:
    """Numbers of the segments in which a document lies."""
    return range(document.first_block // SEGMENT_BLOCKS, (document.end_block - 1) // SEGMENT_BLOCKS + 1)


def _joined(parts: list[tuple[KeyArray, ScaleArray]]) -> tuple[KeyArray, ScaleArray]:
    return np.concatenate([keys for keys, _ in parts]), np.concatenate([scale for _, scale in parts])
