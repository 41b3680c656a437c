"""Writing to a MegaContext Tree: one ingest, from taking the lock to the commit.

Full segments are sealed on disk as they fill, long before the commit. A writer that dies leaves the tree as it was and
these segments behind; the next one finds a segment of the same content by its name and adopts it, gists and all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, SourceError
from mctool.core.places import Marks
from mctool.core.records import DocumentCounts
from mctool.core.timeline import Timeline
from mctool.tree.catalog_writer import CatalogWriter
from mctool.tree.content import IdArray, IntArray, SegmentBuffer, SegmentContent, cut_blocks
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.gists import GistArray, GistBuilder, build_leaves, build_parents
from mctool.tree.keys import KeyBuilder, has_whole_keys, make_keys, remove_key_leftovers
from mctool.tree.layout import Layout
from mctool.tree.lexical import LexicalWriter
from mctool.tree.locks import no_readers
from mctool.tree.rows import Changes, Document, DocumentMeta, Ingest, Segment
from mctool.tree.segment_reader import SegmentReader
from mctool.tree.segments import adopt_segment, remove_leftovers, write_parents, write_segment

Progress = Callable[[int], None]
"""Told the number of blocks that are done so far, out of those that were added."""


def open_writer(
    path: Path,
    builder: GistBuilder | None = None,
    progress: Progress | None = None,
    key_builder: KeyBuilder | None = None,
) -> TreeWriter:
    """Take the write lock of the tree at ``path``; use it in a ``with`` block.

    Args:
        path: Directory of the tree.
        builder: Builds gists; None exactly when the tree was made without.
        progress: Called as blocks get their gists and their keys.
        key_builder: Makes the lens keys of what is added; None for none.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another writer holds the lock.
        TreeDamagedError: The catalog cannot be understood.
        MismatchError: The tree has gists and there is no builder, or the reverse; or a newer mctool made it.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    fingerprint = catalog.snapshot.fingerprint
    if fingerprint.has_gists != (builder is not None):
        catalog.close()
        has = f"gists of {fingerprint.gistnet}" if fingerprint.has_gists else "no gists"
        given = "no GistNet" if builder is None else "a GistNet"
        raise MismatchError(f"{path} holds {has}, but {given} is in use", "ingest the sources into a new tree")
    return TreeWriter(layout, catalog, builder, progress, key_builder)


class TreeWriter:
    """An ingest that is going on. Leaving its ``with`` block without ``commit`` changes nothing in the tree.

    Attributes:
        documents: Live documents before this ingest, in timeline order.
        added: Documents added so far.
        resumed_blocks: Blocks adopted from an interrupted ingest.
        keyed_blocks: Blocks that got lens keys.
        gist_seconds: Time spent in the builder.
        key_seconds: Time spent on lens keys.
        write_seconds: Time spent on writing, checksums and the commit.
    """

    def __init__(
        self,
        layout: Layout,
        catalog: CatalogWriter,
        builder: GistBuilder | None,
        progress: Progress | None,
        key_builder: KeyBuilder | None,
    ) -> None:
        self.layout = layout
        self.fingerprint: Fingerprint = catalog.snapshot.fingerprint
        self.documents: list[Document] = catalog.snapshot.documents
        self.added: list[Document] = []
        self.resumed_blocks = 0
        self.keyed_blocks = 0
        self.gist_seconds = 0.0
        self.key_seconds = 0.0
        self.write_seconds = 0.0
        self._catalog = catalog
        self._builder = builder
        self._key_builder = key_builder
        self._progress = progress
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._live = {document.path: document for document in self.documents}
        self._retired: list[Document] = []
        self._marks: dict[int, Marks] = {}
        self._touched: dict[int, tuple[int, int, int]] = {}
        self._sealed: list[Segment] = []
        self._next_number = max((segment.number for segment in catalog.snapshot.segments), default=-1) + 1
        self._buffer = SegmentBuffer()
        self._done_steps = 0
        self._lexical = LexicalWriter(layout, catalog.snapshot.generation, self.documents)
        self._open = True
        self._intact = True

    def __enter__(self) -> TreeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def index_was_stale(self) -> bool:
        """Whether the lexical index had to be made anew; a commit then stores it even when nothing else changed."""
        return self._lexical.is_stale

    @property
    def tokens_added(self) -> int:
        """Tokens of the documents added so far."""
        return sum(document.n_tokens for document in self.added)

    def add(self, meta: DocumentMeta, ids: IdArray, char_starts: IntArray, text: str) -> Document:
        """Append a document to the timeline. A live one with the same path must be retired first.

        Args:
            meta: Path, hash, size, mtime and encoding of its source, and places in it.
            ids: Token ids, shape [n], n >= 1, below the vocabulary size.
            char_starts: Code point of ``text`` at which each token begins, never decreasing, shape [n].
            text: The decoded document.

        Raises:
            ValueError: The path is live, or the arrays do not describe a tokenised document.
            SourceError: The path or the text cannot be written as UTF-8; nothing was added.
            ResourceError: The disk is full; what was sealed stays for the next ingest.
        """
        self._require_open()
        if meta.path in self._live:
            raise ValueError(f"{meta.path} is live; retire it before its new version is added")
        if not _is_utf8(meta.path):
            raise SourceError(f"the path {meta.path!a} is not valid UTF-8", "rename the file")
        if len(ids) and int(ids.max()) >= self.fingerprint.vocab_size:
            raise ValueError(f"{meta.path}: id {int(ids.max())} is not below vocab_size {self.fingerprint.vocab_size}")
        blocks = cut_blocks(meta.path, ids, char_starts, text)
        document = Document(
            id=self._catalog.next_document + len(self.added),
            path=meta.path,
            sha256=meta.sha256,
            size=meta.size,
            mtime_ns=meta.mtime_ns,
            encoding=meta.encoding,
            first_block=self._next_number * SEGMENT_BLOCKS + self._buffer.n_blocks,
            n_blocks=len(blocks),
            n_tokens=len(ids),
            n_chars=len(text),
            n_lines=text.count("\n") + (not text.endswith("\n")),
        )
        rest, self._intact = blocks, False
        while len(rest):
            room = self._buffer.room
            self._buffer.append(rest[:room])
            rest = rest[room:]
            if not self._buffer.room:
                self._seal()
        with self._timed_write():
            self._lexical.add(document, [text.decode() for text in blocks.texts])
        self._intact = True
        if meta.marks is not None:
            self._marks[document.id] = meta.marks
        self.added.append(document)
        self._live[document.path] = document
        return document

    def retire(self, document: Document) -> None:
        """Take a document out of the timeline at the commit; its blocks stay on disk, masked in their parents.

        Raises:
            ValueError: It is not one of ``documents``, or was retired already.
        """
        self._require_live(document)
        del self._live[document.path]
        self._retired.append(document)

    def touch(self, document: Document, size: int, mtime_ns: int) -> None:
        """Note a new size and mtime for a document whose content is unchanged.

        Raises:
            ValueError: It is not one of ``documents``, or was retired already.
        """
        self._require_live(document)
        self._touched[document.id] = (document.id, size, mtime_ns)

    def commit(self, sources: list[str], version: str, counts: DocumentCounts) -> int:
        """Make all changes visible and durable, as one.

        Args:
            sources: What the user named, for the history.
            version: Version of mctool, for the history.
            counts: What was done to the documents, for the history.

        Returns:
            The new generation of the tree.

        Raises:
            ResourceError: The disk is full; the tree is as it was.
        """
        self._require_open()
        if self._buffer.n_blocks:
            self._seal()
        segments = self._with_new_parents()
        ingest = Ingest(
            id=self._catalog.next_ingest,
            started_at=self._started.isoformat(timespec="seconds"),
            seconds=time.perf_counter() - self._clock,
            sources=sources,
            version=version,
            added=counts.added,
            updated=counts.updated,
            unchanged=counts.unchanged,
            retired=counts.retired,
            skipped=len(counts.skipped),
            tokens_added=self.tokens_added,
        )
        retired = [document.id for document in self._retired]
        with self._timed_write():
            changes = Changes(ingest, self.added, retired, list(self._touched.values()), segments, self._marks)
            self._lexical.prepare()
            generation = self._catalog.commit(changes)
            self._lexical.finish(generation)
            self._clean_up(segments)
            self.close()
        return generation

    def close(self) -> None:
        """Release the lock. Without a ``commit`` the tree is as it was, and full segments wait to be adopted."""
        if self._open:
            self.give_up()
            self._open = False
            self._catalog.close()

    def give_up(self) -> None:
        """Write nothing more, but keep the lock: now whoever made the tree may remove it."""
        self._intact = False
        self._lexical.close()

    def _seal(self) -> None:
        """Write the buffered blocks as a segment, or adopt the one that an interrupted ingest wrote."""
        content, number = self._buffer.content(), self._next_number
        with self._timed_write():
            digest = content.digest(self.fingerprint)
            segment = adopt_segment(self.layout, number, digest, content.n_blocks)
        if segment is None:
            gists = self._gists(content)
            with self._timed_write():
                segment = write_segment(self.layout, number, content, self.fingerprint, digest, gists)
        else:
            self.resumed_blocks += segment.n_blocks
            self._count_blocks(segment.n_blocks)
        if self._key_builder is not None:
            self._make_keys(segment, content, self._key_builder)
        self._sealed.append(segment)
        self._next_number += 1
        self._buffer = SegmentBuffer()

    def _make_keys(self, segment: Segment, content: SegmentContent, builder: KeyBuilder) -> None:
        """Make the lens keys of a sealed segment, unless an interrupted ingest has."""
        encoder = builder.fingerprint  # may load a net, which is not what is timed here
        start = time.perf_counter()
        if has_whole_keys(self.layout, segment, encoder):
            self._count_blocks(segment.n_blocks)
        else:
            make_keys(self.layout, segment, builder, content.block_texts(), content.char_start, self._count_blocks)
            self.keyed_blocks += segment.n_blocks
        self.key_seconds += time.perf_counter() - start

    def _gists(self, content: SegmentContent) -> dict[int, GistArray]:
        if self._builder is None:
            self._count_blocks(content.n_blocks)
            return {}
        start = time.perf_counter()
        leaves = build_leaves(self._builder, content.ids, content.lengths, self.fingerprint.d_model, self._count_blocks)
        parents = build_parents(self._builder, leaves, np.ones(content.n_blocks, np.bool_))
        self.gist_seconds += time.perf_counter() - start
        return {1: leaves, **parents}

    def _with_new_parents(self) -> list[Segment]:
        """The new segments, and those whose parents must forget retired blocks, with a new revision of them."""
        changed = list(self._sealed)
        if self._builder is None or not self._retired:
            return changed
        live = sorted(self._live.values(), key=lambda document: document.first_block)
        timeline = Timeline.of_documents([(document.first_block, document.n_tokens) for document in live])
        for segment in self._catalog.snapshot.segments:
            first = segment.number * SEGMENT_BLOCKS
            end = first + segment.n_blocks
            if not any(document.first_block < end and first < document.end_block for document in self._retired):
                continue
            leaves = SegmentReader(self.layout, segment).gists(1, np.arange(segment.n_blocks))
            start = time.perf_counter()
            parents = build_parents(self._builder, leaves, timeline.document_of(np.arange(first, end)) >= 0)
            self.gist_seconds += time.perf_counter() - start
            with self._timed_write():
                changed.append(write_parents(self.layout, segment, parents))
        return changed

    def _clean_up(self, changed: list[Segment]) -> None:
        """Remove what the catalog no longer names, unless somebody reads the tree; then a later commit does."""
        current = {segment.number: segment for segment in (*self._catalog.snapshot.segments, *changed)}
        with suppress(OSError), no_readers(self.layout.segments) as alone:
            if alone:
                remove_leftovers(self.layout, list(current.values()))
                encoder = self._key_builder.fingerprint if self._key_builder is not None and self._sealed else None
                remove_key_leftovers(self.layout, list(current.values()), encoder)

    def _count_blocks(self, n_blocks: int) -> None:
        """Count blocks that have got their gists, or their keys; one is done when it has both."""
        self._done_steps += n_blocks
        if self._progress is not None:
            self._progress(self._done_steps if self._key_builder is None else self._done_steps // 2)

    def _require_open(self) -> None:
        if not self._open or not self._intact:
            raise ValueError("this writer is closed, or a document was cut short by an error; open a new one")

    def _require_live(self, document: Document) -> None:
        self._require_open()
        if document.id >= self._catalog.next_document or self._live.get(document.path) != document:
            raise ValueError(
                f"{document.path} (document {document.id}) was not live when this ingest began, or is retired"
            )

    @contextmanager
    def _timed_write(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.write_seconds += time.perf_counter() - start


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
