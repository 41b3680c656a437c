"""Checking a whole tree: every file against its checksum, every array against what it must hold.

Content is checked only in files whose checksum is right, so one damaged file is reported once, not by its consequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS, TOP_LOD, nodes_in_segment
from mctool.core.errors import TreeDamagedError
from mctool.tree import layout as names
from mctool.tree.access import read_access_counts
from mctool.tree.archive import archive_fault
from mctool.tree.catalog import Snapshot, digest_fits, open_reader, read_stored_documents, snapshot_of
from mctool.tree.content import IntArray
from mctool.tree.failures import read_failures
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.keys import KeyManifest
from mctool.tree.layout import Layout
from mctool.tree.locks import ReaderLock
from mctool.tree.rows import Document, Segment, StoredDocument
from mctool.tree.segments import checksum_files, id_dtype

BlockRange = tuple[int, int]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: what, in which file or document, and the half-open range of block ids it touches."""

    what: str
    where: str
    range: BlockRange | None


def verify_tree(path: Path) -> list[Damage]:
    """Check the tree at ``path``; an empty list means that nothing is wrong.

    Retired documents are checked too. One segment is held in memory at a time.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The catalog cannot be read at all.
        MismatchError: A newer mctool made the tree.
        ResourceError: A file may not be read.
    """
    layout = Layout(path)
    lock = ReaderLock(layout.segments)
    try:
        with open_reader(layout) as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            snapshot = snapshot_of(connection, layout)
            stored = read_stored_documents(connection)
            is_as_written = digest_fits(connection)
        found = [Damage(f"SQLite: {problem}", layout.catalog.name, None) for problem in problems if problem != "ok"]
        if not is_as_written:
            found.append(Damage("rows are not as the last commit left them", layout.catalog.name, None))
        found += _check_access(layout)
        found += _check_documents(snapshot, stored)
        found += _check_archive(layout, snapshot)
        raw = [entry.document for entry in stored if entry.document.id not in snapshot.archived]
        for segment in snapshot.segments:
            found += check_segment(layout, segment, snapshot.fingerprint, raw)
            found += check_keys(layout, segment)
        return found
    finally:
        lock.release()


def check_segment(
    layout: Layout, segment: Segment, fingerprint: Fingerprint, documents: list[Document]
) -> list[Damage]:
    """The damage of one segment, given all documents of the tree whose text is not archived, live and retired."""
    return _SegmentCheck(layout, segment, fingerprint, documents).run()


def check_keys(layout: Layout, segment: Segment) -> list[Damage]:
    """The damage of all lens keys of a segment; that there are none is no damage."""
    directories = sorted(layout.keys.glob(f"{segment.name}-*"))
    return [damage for directory in directories for damage in _check_keys(layout, directory, segment)]


def _check_access(layout: Layout) -> Iterator[Damage]:
    try:
        read_access_counts(layout)
    except TreeDamagedError as error:
        yield Damage(error.message, layout.access.name, None)


def _check_documents(snapshot: Snapshot, stored: list[StoredDocument]) -> Iterator[Damage]:
    """All documents, live and retired, must tile all segments, and their counts must agree."""
    ingests = {ingest.id for ingest in snapshot.history}
    free = [(s.number * SEGMENT_BLOCKS, s.number * SEGMENT_BLOCKS + s.n_blocks) for s in snapshot.segments]
    for segment in snapshot.segments:
        if not 0 < segment.n_blocks <= SEGMENT_BLOCKS or segment.number < 0:
            yield Damage("segment number or block count is impossible", segment.name, None)
    expected = _next_block(free, 0)
    for entry in stored:
        document = entry.document
        blocks = (document.first_block, document.end_block)
        if not _counts_agree(document):
            yield Damage(f"{document.n_tokens} tokens cannot fill {document.n_blocks} blocks", document.path, blocks)
        if document.first_block != expected:
            yield Damage(f"begins at block {document.first_block}, not at {expected}", document.path, blocks)
        if not {entry.added_by, entry.retired_by} <= {*ingests, None}:
            yield Damage("was added or retired by an ingest that is not in the history", document.path, blocks)
        expected = _next_block(free, document.end_block)
    if expected is not None:
        yield Damage("blocks belong to no document", "catalog.sqlite", (expected, free[-1][1]))


def _check_archive(layout: Layout, snapshot: Snapshot) -> Iterator[Damage]:
    """The files of all archived live documents must be there as they were written."""
    for document in snapshot.documents:
        entry = snapshot.archived.get(document.id)
        what = archive_fault(layout, entry) if entry is not None else None
        if entry is not None and what is not None:
            place = f"{layout.archive.name}/{entry.file}"
            yield Damage(
                f"{what} (archived text of {document.path})", place, (document.first_block, document.end_block)
            )


def _check_keys(layout: Layout, directory: Path, segment: Segment) -> Iterator[Damage]:
    """The lens keys of a segment by one encoder must be as they were written."""
    first = segment.number * SEGMENT_BLOCKS

    def damage(what: str, path: str) -> Damage:
        place = f"{directory.parent.name}/{directory.name}/{path}"
        return Damage(f"{what}; `mctool ingest --rekey` makes it anew", place, (first, first + segment.n_blocks))

    manifest = KeyManifest.read(directory)
    if manifest is None or not manifest.is_of(layout, segment, directory):
        yield damage("does not say what keys there are", Layout.manifest(directory).name)
        return
    faults = {path: _file_fault(directory, path, expected) for path, expected in manifest.files.items()}
    yield from (damage(what, path) for path, what in faults.items() if what is not None)


def _file_fault(directory: Path, path: str, expected: tuple[int, str]) -> str | None:
    """What is wrong with a file, in words; None when it is as it was written."""
    try:
        with read_failures(directory / path):
            found = checksum_files(directory, [path])[path]
    except TreeDamagedError as error:
        return error.message
    if found == expected:
        return None
    return (
        f"has {found[0]} bytes, not {expected[0]}" if found[0] != expected[0] else "has another sha256 than it should"
    )


def _counts_agree(document: Document) -> bool:
    return document.n_tokens >= 1 and document.n_blocks == -(-document.n_tokens // BLOCK_TOKENS)


def _next_block(ranges: list[BlockRange], block: int) -> int | None:
    """The first stored block id at or after ``block``; None when there is none."""
    return next((max(first, block) for first, end in ranges if block < end), None)


class _SegmentCheck:
    """The checks of one segment."""

    def __init__(self, layout: Layout, segment: Segment, fingerprint: Fingerprint, documents: list[Document]) -> None:
        self._directory = layout.segment(segment.name)
        self._segment = segment
        self._fingerprint = fingerprint
        self._first = segment.number * SEGMENT_BLOCKS
        self._end = self._first + segment.n_blocks
        self._documents = [
            document
            for document in documents
            if max(document.first_block, self._first) < min(document.end_block, self._end) and _counts_agree(document)
        ]
        self._bad: set[str] = set()

    def run(self) -> list[Damage]:
        """All damage of the segment."""
        found = list(self._files())
        arrays: dict[str, Array] = {}
        for name, shape, dtype in self._expected_arrays():
            if any(path.startswith(f"{name}/") for path in self._bad):
                continue
            try:
                array = self._read(name)
            except TreeDamagedError as error:
                found.append(self._damage(error.message, name))
                continue
            if array.dtype != dtype or shape not in (None, array.shape):
                found.append(self._damage(f"is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}", name))
            elif dtype is np.float16:
                found += self._gists(name, array)  # not kept: they are the bulk of a segment
            else:
                arrays[name] = array
        if names.LOD0 in arrays:
            found += self._ids(arrays[names.LOD0])
        if all(name in arrays for name in names.TEXT_ARRAYS):
            found += self._text(*(arrays[name] for name in names.TEXT_ARRAYS))
        return found

    def _files(self) -> Iterator[Damage]:
        for path, expected in self._segment.files.items():
            what = _file_fault(self._directory, path, expected)
            if what is not None:
                self._bad.add(path)
                yield self._damage(what, path)

    def _expected_arrays(self) -> Iterator[tuple[str, tuple[int, ...] | None, type]]:
        n_blocks = self._segment.n_blocks
        yield names.LOD0, (n_blocks, BLOCK_TOKENS), id_dtype(self._fingerprint.vocab_size)
        yield names.TEXT, None, np.uint8
        yield names.BYTE_START, (n_blocks,), np.uint32
        yield names.CHAR_START, (n_blocks,), np.int64
        yield names.LINE_START, (n_blocks,), np.int64
        if not self._fingerprint.has_gists:
            return
        for lod in range(1, TOP_LOD + 1):
            shape = (nodes_in_segment(lod, n_blocks), self._fingerprint.d_model)
            yield names.gists_array(lod, self._segment.revision), shape, np.float16

    def _read(self, name: str) -> Array:
        if not any(path.startswith(f"{name}/") for path in self._segment.files):
            raise TreeDamagedError("the catalog knows no files of this array")
        with read_failures(self._directory / name):
            return np.asarray(zarr.open_array(self._directory / name, mode="r", zarr_format=3)[...])

    def _gists(self, name: str, gists: Array) -> Iterator[Damage]:
        if not np.isfinite(gists).all():
            yield self._damage("holds gists that are not finite", name)

    def _ids(self, ids: Array) -> Iterator[Damage]:
        beyond = np.any(ids >= self._fingerprint.vocab_size, axis=1)
        yield from self._rows("token ids beyond the vocabulary", names.LOD0, beyond)
        padding = np.zeros(ids.shape, np.bool_)
        for document in self._documents:
            last = document.end_block - 1
            if self._first <= last < self._end:
                padding[last - self._first, document.n_tokens - (document.n_blocks - 1) * BLOCK_TOKENS :] = True
        yield from self._rows("tokens after the end of a document", names.LOD0, np.any(padding & (ids != 0), axis=1))

    def _text(self, text: Array, byte_start: Array, char_start: IntArray, line_start: IntArray) -> Iterator[Damage]:
        """Offsets must agree with the text itself, block by block, and documents with their blocks."""
        bounds = np.append(byte_start.astype(np.int64), len(text))
        if bounds[0] != 0 or np.any(np.diff(bounds) < 0):
            yield self._damage("byte offsets do not ascend within the text", names.BYTE_START)
            return
        raw = text.tobytes()
        n_chars, n_breaks = np.zeros(len(byte_start), np.int64), np.zeros(len(byte_start), np.int64)
        broken = np.zeros(len(byte_start), np.bool_)
        for row, (start, end) in enumerate(zip(bounds.tolist(), bounds[1:].tolist(), strict=False)):
            try:
                block = raw[start:end].decode()
            except UnicodeDecodeError:
                broken[row] = True
                continue
            n_chars[row], n_breaks[row] = len(block), block.count("\n")
        yield from self._rows("text is not UTF-8", names.TEXT, broken)
        if broken.any():
            return
        for document in self._documents:
            first, end = max(document.first_block, self._first), min(document.end_block, self._end)
            part = slice(first - self._first, end - self._first)
            chars = np.append(char_start[part], char_start[part][-1] + n_chars[part][-1])
            lines = np.append(line_start[part], line_start[part][-1] + n_breaks[part][-1])
            wrong = np.any(np.diff(chars) != n_chars[part]) or np.any(np.diff(lines) != n_breaks[part])
            if first == document.first_block:
                wrong |= chars[0] != 0 or lines[0] != 1
            if end == document.end_block:
                ends_line = raw[bounds[part.stop] - 1 : bounds[part.stop]] == b"\n"
                wrong |= chars[-1] != document.n_chars or lines[-1] - ends_line != document.n_lines
            if wrong:
                yield Damage(
                    f"character or line offsets disagree with the text (in {self._segment.name})",
                    document.path,
                    (first, end),
                )

    def _rows(self, what: str, name: str, wrong: npt.NDArray[np.bool_]) -> Iterator[Damage]:
        """One damage for each run of wrong blocks."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], wrong, [False]])))
        for start, end in edges.reshape(-1, 2).tolist():
            yield Damage(what, f"{self._segment.name}/{name}", (self._first + start, self._first + end))

    def _damage(self, what: str, path: str) -> Damage:
        return Damage(what, f"{self._segment.name}/{path}", (self._first, self._end))
