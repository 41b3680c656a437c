"""Reading a MegaContext Tree: one snapshot, from opening to closing.

Shape letters: n requested blocks or nodes, d width of a gist.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS, TOP_LOD, blocks_per_node
from mctool.core.errors import MismatchError, TreeDamagedError, UsageError
from mctool.core.places import Marks
from mctool.core.timeline import Timeline
from mctool.tree.access import AccessCount, Node, read_access_counts, record_access
from mctool.tree.catalog import Snapshot, create_catalog, read_marks, read_snapshot
from mctool.tree.content import IdArray, IntArray
from mctool.tree.failures import REINGEST
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.gists import GistArray
from mctool.tree.layout import KEYS, Layout
from mctool.tree.locks import ReaderLock
from mctool.tree.rows import Document, Ingest
from mctool.tree.segment_reader import SegmentReader, check_files
from mctool.tree.tree_keys import TreeKeys

OPEN_SEGMENTS = 64
"""Most segments whose arrays and offsets are kept open; each takes under 1 MB."""


@dataclass(frozen=True)
class TextSpan:
    """A run of blocks of one document as text. Characters are half-open code points; lines count from 1, inclusive."""

    path: str
    start_char: int
    end_char: int
    start_line: int
    end_line: int
    text: str


class Tree:
    """A tree as of its last commit when it was opened; later commits do not change what it shows.

    Attributes:
        path: Directory of the tree.
        layout: Where its parts lie.
        format: Version of its on-disk format.
        fingerprint: What it was made with; check it with ``fingerprint.require``.
        generation: Number of commits so far.
        documents: Live documents in timeline order.
    """

    def __init__(self, layout: Layout, snapshot: Snapshot, lock: ReaderLock) -> None:
        self.path = layout.root
        self.layout = layout
        self.format: int = snapshot.format
        self.fingerprint: Fingerprint = snapshot.fingerprint
        self.generation: int = snapshot.generation
        self.documents: list[Document] = snapshot.documents
        self._archived = snapshot.archived
        self._snapshot = snapshot
        self._segments = {segment.number: segment for segment in snapshot.segments}
        self._lock = lock
        self._reader = lru_cache(maxsize=OPEN_SEGMENTS)(self._open_segment)

    @classmethod
    def create(cls, path: Path, fingerprint: Fingerprint) -> Tree:
        """Make an empty tree at ``path`` and open it.

        Raises:
            UsageError: There is a tree already.
            TreeDamagedError: There are segments without a catalog.
            ResourceError: The place cannot be written.
        """
        create_catalog(Layout(path), fingerprint)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Tree:
        """Open the tree at ``path`` (the directory itself; see :func:`find_tree`), which may be read-only.

        Raises:
            TreeNotFoundError: There is no tree.
            TreeDamagedError: The catalog or a file of a segment is missing or has the wrong size.
            MismatchError: A newer mctool made the tree.
        """
        layout = Layout(path)
        lock = ReaderLock(layout.segments)  # before the snapshot, so that nothing it names can go
        try:
            snapshot = read_snapshot(layout)
            snapshot.timeline()  # the catalog must make sense before anything is read by it
            for segment in snapshot.segments:
                check_files(layout, segment)
        except BaseException:
            lock.release()
            raise
        return cls(layout, snapshot, lock)

    def close(self) -> None:
        """Let writers remove what only this snapshot still needs; reading is over."""
        self._reader.cache_clear()
        self._lock.release()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def has_gists(self) -> bool:
        """Whether the tree holds gists."""
        return self.fingerprint.has_gists

    @cached_property
    def timeline(self) -> Timeline:
        """Where the live documents lie.

        Raises:
            TreeDamagedError: The catalog's documents overlap.
        """
        return self._snapshot.timeline()

    def history(self) -> list[Ingest]:
        """All committed ingests, the oldest first."""
        return list(self._snapshot.history)

    @cached_property
    def archived(self) -> IntArray:
        """Indices of the live documents whose text is archived: their blocks have gists and keys but cannot be read."""
        return np.array([n for n, one in enumerate(self.documents) if one.id in self._archived], np.int64)

    @property
    def n_segments(self) -> int:
        """Segments that hold the tree."""
        return len(self._segments)

    def marks(self, document: Document) -> Marks | None:
        """The places of a document whose text was extracted; None where its text is that of the file.

        Raises:
            TreeDamagedError: The catalog cannot be read.
        """
        return read_marks(self.layout, document.id)

    def bytes_on_disk(self) -> int:
        """Bytes of all files of the tree, the lexical index included."""
        return _bytes_below(self.path)

    def bytes_by_array(self) -> dict[str, int]:
        """Stored bytes of each array over all segments: ``{"lod0": 812345, "text": ..., "lod2": ..., "keys": ...}``."""
        sizes: dict[str, int] = {}
        for segment in self._segments.values():
            for path, (size, _) in segment.files.items():
                array = Path(path).parts[1 if path.startswith("parents-") else 0]
                sizes[array] = sizes.get(array, 0) + size
        sizes.pop("zarr.json", None)
        if self.layout.keys.is_dir():
            sizes[KEYS] = _bytes_below(self.layout.keys)
        if self.layout.archive.is_dir():
            sizes[self.layout.archive.name] = _bytes_below(self.layout.archive)
        return sizes

    def tokens(self, blocks: IntArray) -> tuple[IdArray, IntArray]:
        """Token ids of live blocks, in any order.

        Args:
            blocks: Block ids, shape [n].

        Returns:
            Ids, shape [n, 32], 0 after the end of a short block; and tokens of each block, shape [n].

        Raises:
            ValueError: A block is not live.
            UsageError: A document is archived.
            TreeDamagedError: Stored bytes cannot be read.
        """
        blocks = np.asarray(blocks, np.int64)
        document = self.timeline.document_of(blocks)
        if np.any(document < 0):
            raise ValueError(f"blocks {blocks[document < 0][:5].tolist()} are not live")
        for hidden in np.intersect1d(document, self.archived)[:1].tolist():
            raise _is_archived(self.documents[hidden])
        ids = np.empty((len(blocks), BLOCK_TOKENS), np.uint32)
        for number, where in _by_segment(blocks // SEGMENT_BLOCKS):
            ids[where] = self._reader(number).ids(blocks[where] % SEGMENT_BLOCKS)
        if len(ids) and ids.max() >= self.fingerprint.vocab_size:
            raise TreeDamagedError(f"{self.path} holds token ids beyond the vocabulary", REINGEST)
        before = (blocks - self.timeline.first_block[document]) * BLOCK_TOKENS
        return ids, np.minimum(self.timeline.n_tokens[document] - before, BLOCK_TOKENS)

    def gists(self, lod: int, index: IntArray) -> GistArray:
        """Gists of nodes of level ``lod`` >= 1, in any order, shape [n, d].

        Raises:
            ValueError: There is no such level or node.
            MismatchError: The tree has no gists.
            TreeDamagedError: Stored bytes cannot be read.
        """
        if not 1 <= lod <= TOP_LOD:
            raise ValueError(f"there are gists of LOD1 to LOD{TOP_LOD}, not of LOD{lod}")
        if not self.has_gists:
            raise MismatchError(f"{self.path} holds no gists", "ingest the sources into a new tree with a GistNet")
        index = np.asarray(index, np.int64)
        span = blocks_per_node(lod)
        n_blocks = {number: segment.n_blocks for number, segment in self._segments.items()}
        gists = np.empty((len(index), self.fingerprint.d_model), np.float16)
        for number, where in _by_segment(index * span // SEGMENT_BLOCKS):
            rows = index[where] - number * SEGMENT_BLOCKS // span
            missing = rows * span >= n_blocks.get(number, 0)
            if np.any(missing):
                raise ValueError(f"LOD{lod} nodes {index[where][missing][:5].tolist()} are not in the tree")
            gists[where] = self._reader(number).gists(lod, rows)
        return gists

    def keys(self, encoder: str) -> TreeKeys | None:
        """The lens keys of all live blocks; None when not all have them.

        Args:
            encoder: Fingerprint of the key encoder that is in use.
        """
        return TreeKeys.find(self.layout, self.timeline, list(self._segments.values()), encoder)

    def text(self, first_block: int, end_block: int) -> str:
        """Exact text of the run of blocks [first_block, end_block) within one live document.

        Raises:
            ValueError: The run is empty or not within one live document.
            UsageError: The document is archived.
            TreeDamagedError: Stored bytes cannot be read.
        """
        document = self._document_of_run(first_block, end_block)
        if document.id in self._archived:
            raise _is_archived(document)
        raw = bytearray()
        block = first_block
        while block < end_block:
            number, row = divmod(block, SEGMENT_BLOCKS)
            stop = min(end_block - number * SEGMENT_BLOCKS, SEGMENT_BLOCKS)
            raw += self._reader(number).text(row, stop)
            block = number * SEGMENT_BLOCKS + stop
        return self._decode(bytes(raw))

    def span(self, first_block: int, end_block: int) -> TextSpan:
        """The run of blocks [first_block, end_block) within one live document, with its place in the source.

        ``end_line`` is the line of the last character. An archived document has its place, but ``text`` is empty, and
        ``end_line`` may be one more. Raises as ``text`` does otherwise.
        """
        document = self._document_of_run(first_block, end_block)
        if document.id in self._archived:
            return self._archived_span(document, first_block, end_block)
        text = self.text(first_block, end_block)
        number, row = divmod(first_block, SEGMENT_BLOCKS)
        start_line = int(self._reader(number).line_starts()[row])
        start_char = int(self._reader(number).char_starts()[row])
        return TextSpan(
            path=document.path,
            start_char=start_char,
            end_char=start_char + len(text),
            start_line=start_line,
            end_line=start_line + text[:-1].count("\n"),
            text=text,
        )

    def _archived_span(self, document: Document, first_block: int, end_block: int) -> TextSpan:
        starts, ends = self.char_ranges(np.array([first_block]), np.array([end_block]))
        lines = []
        for block in (first_block, end_block):
            number, row = divmod(block, SEGMENT_BLOCKS)
            inside = block < document.end_block
            lines.append(int(self._reader(number).line_starts()[row]) if inside else document.n_lines)
        return TextSpan(document.path, int(starts[0]), int(ends[0]), lines[0], lines[1], "")

    def char_ranges(self, first: IntArray, end: IntArray) -> tuple[IntArray, IntArray]:
        """Characters that runs of live blocks take in their documents; nonsense for runs over several documents.

        Args:
            first: First block of each run, shape [n].
            end: One past the last block of each run, shape [n].

        Returns:
            Half-open code point ranges, two arrays of shape [n].
        """
        starts = self._char_starts(first)
        document = self.timeline.document_of(end - 1)
        n_chars = np.array([document.n_chars for document in self.documents], np.int64)
        ends = n_chars[document] if len(end) else starts
        inside = end < self.timeline.end_block[document] if len(end) else np.zeros(0, np.bool_)
        ends[inside] = self._char_starts(end[inside])
        return starts, ends

    def line_starts(self, blocks: IntArray) -> IntArray:
        """Line on which each live block begins, from 1; shape [n]."""
        lines = np.empty(len(blocks), np.int64)
        for number, where in _by_segment(blocks // SEGMENT_BLOCKS):
            lines[where] = self._reader(number).line_starts()[blocks[where] % SEGMENT_BLOCKS]
        return lines

    def _char_starts(self, blocks: IntArray) -> IntArray:
        starts = np.empty(len(blocks), np.int64)
        for number, where in _by_segment(blocks // SEGMENT_BLOCKS):
            starts[where] = self._reader(number).char_starts()[blocks[where] % SEGMENT_BLOCKS]
        return starts

    def iter_block_texts(self, documents: Iterable[Document]) -> Iterator[tuple[IntArray, list[str]]]:
        """Texts of all blocks of live documents, in bulk: each segment is read once.

        Yields:
            For each segment that holds any of them: block ids, ascending, shape [n]; and the n texts.

        Raises:
            TreeDamagedError: Stored bytes cannot be read.
        """
        runs: dict[int, list[IntArray]] = {}
        for document in sorted(documents, key=lambda document: document.first_block):
            blocks = np.arange(document.first_block, document.end_block)
            for number, where in _by_segment(blocks // SEGMENT_BLOCKS):
                runs.setdefault(number, []).append(blocks[where])
        for number, parts in sorted(runs.items()):
            blocks = np.concatenate(parts)
            reader = self._reader(number)
            bounds = reader.byte_bounds().tolist()
            raw = reader.text(0, len(bounds) - 1)
            rows = (blocks - number * SEGMENT_BLOCKS).tolist()
            yield blocks, [self._decode(raw[bounds[row] : bounds[row + 1]]) for row in rows]

    def access_counts(self) -> list[AccessCount]:
        """Mutation access counts, the most often touched nodes first."""
        return read_access_counts(self.layout)

    def record_access(
        self, expanded: Iterable[Node] = (), collapsed: Iterable[Node] = (), cited: Iterable[Node] = ()
    ) -> bool:
        """Count each node (lod, index) once for each time it is given; False when the tree cannot be written."""
        return record_access(self.layout, expanded, collapsed, cited)

    def _document_of_run(self, first_block: int, end_block: int) -> Document:
        place = bisect.bisect_right(self.documents, first_block, key=lambda document: document.first_block) - 1
        if (
            place >= 0
            and self.documents[place].first_block <= first_block < end_block <= self.documents[place].end_block
        ):
            return self.documents[place]
        raise ValueError(f"blocks [{first_block}, {end_block}) are not a run within one live document")

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise TreeDamagedError(f"{self.path} holds text that is not UTF-8: {error}", REINGEST) from error

    def _open_segment(self, number: int) -> SegmentReader:
        if number not in self._segments:
            raise TreeDamagedError(
                f"{self.layout.catalog} lists documents in a segment {number} that it lacks", REINGEST
            )
        return SegmentReader(self.layout, self._segments[number])


def _is_archived(document: Document) -> UsageError:
    return UsageError(f"{document.path} is archived", "bring its text back with `mctool curate restore`")


def _bytes_below(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a writer's temporary file
            continue
    return total


def _by_segment(numbers: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Each segment number with the positions at which it stands, ascending."""
    if not len(numbers):
        return
    order = np.argsort(numbers, kind="stable")
    unique, starts = np.unique(numbers[order], return_index=True)
    yield from zip(unique.tolist(), np.split(order, starts[1:]), strict=True)
