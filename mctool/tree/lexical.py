"""The lexical index of a tree: which blocks hold which terms.

A tantivy index beside the segments, derived from them: one entry per block, with the terms of its text, of the lines in
it that define symbols, and, for the first block of a document, of the path. Retired blocks stay in the index and are
left out when it is read; the index is made anew when they outnumber the live ones.

A stamp names the generation of the catalog that the index belongs to. It is marked unsound before tantivy commits and
made sound after the catalog has, so that a crash in between is seen, and the next ingest makes the index anew.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import tantivy

from mctool.core.errors import ResourceError, TreeDamagedError
from mctool.core.evidence import TermHits
from mctool.core.timeline import IntArray, Timeline
from mctool.tree.catalog import Snapshot
from mctool.tree.catalog_writer import CatalogWriter
from mctool.tree.failures import write_failures
from mctool.tree.layout import Layout
from mctool.tree.lexical_files import META, file_fault, index_bytes, meta_crc
from mctool.tree.rows import Document
from mctool.tree.terms import TERMS_VERSION, definition_terms, question_terms, terms
from mctool.tree.tree import Tree

_WRITER_BYTES = 64 << 20
_FIELDS = ("text", "definition", "path")
_READ_LOCK = ".tantivy-meta.lock"
_ATTEMPTS = 3
"""How often a reader tries to open the stored index, each time after a writer came in between."""

NO_GENERATION = -1
"""Generation of an index that is being made anew and holds too little for any reader."""

CHECKED_BYTES = 64 << 20
"""An index up to this size, that of some ten million tokens, has all its checksums checked before it is used."""

MAX_HITS = 400_000
"""Most postings read for one question: the rarest terms come first, what is left over is too common to tell much."""


def _schema() -> Any:
    builder = tantivy.SchemaBuilder().add_integer_field("block", stored=False, indexed=False, fast=True)
    for name in _FIELDS:
        builder = builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    return builder.build()


@dataclass(frozen=True)
class Stamp:
    """What an index belongs to: the catalog's generation, the version of the terms, and whether it was finished.

    ``meta_crc`` is that of its list of segments and of their footers; None where that is about to change, or unknown.
    """

    generation: int
    n_blocks: int
    sound: bool = True
    terms_version: int = TERMS_VERSION
    meta_crc: int | None = None

    @classmethod
    def read(cls, layout: Layout) -> Stamp | None:
        """The stamp of a tree's index; None when there is none that can be understood."""
        try:
            return cls(**json.loads(layout.lexical_stamp.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, layout: Layout) -> None:
        """Put the stamp in place at once."""
        draft = layout.lexical_stamp.with_suffix(".writing")
        draft.write_text(json.dumps(self.__dict__))
        draft.replace(layout.lexical_stamp)

    def fits(self, generation: int) -> bool:
        """Whether the index can be used as it is with a catalog of ``generation``."""
        return self.generation == generation and self.terms_version == TERMS_VERSION


class _Postings:
    """Adds blocks to a tantivy index."""

    def __init__(self, index: Any) -> None:
        self._writer = index.writer(_WRITER_BYTES, 1)

    def add(self, blocks: Iterable[int], texts: list[str], path: str | None) -> None:
        """Add consecutive blocks of one document; ``path`` when the first of them begins the document."""
        starts = [0, *accumulate(len(text) for text in texts)]
        definitions: dict[int, list[str]] = {}
        for start, found in definition_terms("".join(texts)):
            definitions.setdefault(bisect_right(starts, start) - 1, []).extend(found)
        for place, (block, text) in enumerate(zip(blocks, texts, strict=True)):
            entry = {"block": block, "text": " ".join(terms(text))}
            if place in definitions:
                entry["definition"] = " ".join(definitions[place])
            if place == 0 and path is not None:
                entry["path"] = " ".join(terms(path))
            self._writer.add_document(tantivy.Document(**entry))

    def add_tree(self, tree: Tree) -> None:
        """Add all live blocks of a tree."""
        for blocks, texts in tree.iter_block_texts(tree.documents):
            owners = tree.timeline.document_of(blocks)
            bounds = np.flatnonzero(np.diff(owners, prepend=-1, append=-1)).tolist()
            for first, end in pairwise(bounds):
                document = tree.documents[int(owners[first])]
                path = document.path if int(blocks[first]) == document.first_block else None
                self.add(blocks[first:end].tolist(), texts[first:end], path)

    def commit(self) -> None:
        """Make everything added visible."""
        self._writer.commit()
        self._writer.wait_merging_threads()


@contextmanager
def _index_writes(layout: Layout) -> Iterator[None]:
    """Tell failures of writing; tantivy raises ValueError for those of the disk."""
    with write_failures(layout.root):
        try:
            yield
        except ValueError as error:
            raise ResourceError(
                f"cannot write the lexical index {layout.lexical}: {error}", "check its permissions and its disk"
            ) from error


@contextmanager
def _opened(place: Path) -> Iterator[Any]:
    """A stored index, to make a searcher from; that needs the index no more afterwards.

    Tantivy locks an index by a file in it, for reading too; one that may not be written is opened through links.
    """
    try:
        (place / _READ_LOCK).open("ab").close()
    except OSError:
        links = Path(mkdtemp(prefix="mctool-"))
        try:
            for file in place.iterdir():
                if not file.name.endswith(".lock"):
                    (links / file.name).symlink_to(file.absolute())
            yield tantivy.Index.open(str(links))
        finally:
            # The thread in which tantivy watches the list of segments locks the index once more, in its own time: a
            # lock file that appears while the directory is emptied keeps it from going, and no other comes after it.
            for _ in range(2):
                shutil.rmtree(links, ignore_errors=True)
    else:
        yield tantivy.Index.open(str(place))


class LexicalWriter:
    """The index's side of one ingest; the caller holds the tree's write lock.

    The order of calls is ``add`` ..., ``prepare``, the catalog's commit, ``finish``.
    """

    def __init__(
        self, layout: Layout, generation: int, documents: list[Document], up_to_bytes: int | None = CHECKED_BYTES
    ) -> None:
        """Get ready to go on from ``generation`` with its live ``documents``; see :func:`check_lexical`."""
        self._layout = layout
        self._generation = generation
        stamp = Stamp.read(layout)
        n_live = sum(document.n_blocks for document in documents)
        self._n_blocks = stamp.n_blocks if stamp is not None else 0
        self._postings: _Postings | None = None
        is_sound = index_fault(layout, generation, up_to_bytes) is None
        self.is_stale = not is_sound and n_live > 0
        if not is_sound or self._n_blocks > 2 * max(n_live, 1):
            with _index_writes(layout):
                self._remake(n_live)

    def add(self, document: Document, texts: list[str]) -> None:
        """Add a new document, given the texts of its blocks."""
        blocks = range(document.first_block, document.end_block)
        with _index_writes(self._layout):
            self._open().add(blocks, texts, document.path)
        self._n_blocks += document.n_blocks

    def prepare(self) -> None:
        """Write what was added; until ``finish`` the index counts as unfinished."""
        with _index_writes(self._layout):
            Stamp(self._generation, self._n_blocks, sound=False).write(self._layout)
            if self._postings is not None:
                self._postings.commit()
                self._postings = None

    def finish(self, generation: int) -> None:
        """Say that the index belongs to the catalog's new generation."""
        with _index_writes(self._layout):
            Stamp(generation, self._n_blocks, meta_crc=meta_crc(self._layout.lexical_index)).write(self._layout)

    def close(self) -> None:
        """Stop writing: tantivy's threads end and its lock is free; what was added since ``prepare`` is lost."""
        self._postings = None

    def _open(self) -> _Postings:
        if self._postings is None:
            self._postings = _Postings(tantivy.Index.open(str(self._layout.lexical_index)))
        return self._postings

    def _remake(self, n_live: int) -> None:
        """An index of the live documents as of the last commit, in place of what is there."""
        former = self._layout.former_lexical
        shutil.rmtree(former, ignore_errors=True)
        with suppress(FileNotFoundError):
            self._layout.lexical.rename(former)  # at once, as readers put lock files into an index that goes bit by bit
        self._layout.lexical_index.mkdir(parents=True)
        Stamp(NO_GENERATION, 0, sound=False).write(self._layout)  # until it is finished, readers make their own
        shutil.rmtree(former, ignore_errors=True)
        tantivy.Index(_schema(), path=str(self._layout.lexical_index))
        if n_live:
            with Tree.open(self._layout.root) as tree:
                self._open().add_tree(tree)
            self._n_blocks = n_live
        else:
            self._n_blocks = 0


class LexicalIndex:
    """Looks up the terms of questions in the live blocks of a tree.

    Attributes:
        is_stored: False when the stored index was missing or not the tree's, and one was made in memory instead.
    """

    def __init__(self, index: Any, timeline: Timeline, is_stored: bool) -> None:
        self.is_stored = is_stored
        self._timeline = timeline
        index.reload()
        self._searcher = index.searcher()
        self._schema = index.schema

    @classmethod
    def open(cls, tree: Tree) -> LexicalIndex:
        """The index of a tree as of its snapshot.

        Raises:
            TreeDamagedError: The text of the tree cannot be read.
        """
        found = cls._stored(tree)
        if found is not None:
            return found
        index = tantivy.Index(_schema())
        postings = _Postings(index)
        postings.add_tree(tree)
        postings.commit()
        return cls(index, tree.timeline, is_stored=False)

    @classmethod
    def _stored(cls, tree: Tree) -> LexicalIndex | None:
        """The stored index, if it can be used; it is tried again when a writer has changed it in the meantime."""
        for _ in range(_ATTEMPTS):
            stamp = Stamp.read(tree.layout)
            # An index one commit ahead is fine: what is not live in this snapshot is left out.
            if stamp is None or not (stamp.fits(tree.generation) or (stamp.sound and stamp.fits(tree.generation + 1))):
                return None
            # One that is just being committed counts what it will hold, and holds at least what is live.
            least = stamp.n_blocks if stamp.sound else tree.timeline.total_blocks
            # What is derived can be had anew, if it cannot be read or a writer has just begun to make it anew.
            with suppress(OSError, ValueError):
                if _file_fault(tree.layout, stamp, CHECKED_BYTES) is None:
                    with _opened(tree.layout.lexical_index) as stored:
                        found = cls(stored, tree.timeline, is_stored=True)
                    if found._searcher.num_docs >= least:
                        return found
            if stamp.sound and Stamp.read(tree.layout) == stamp:
                return None
        return None

    def hits(self, question: str) -> list[TermHits]:
        """The places of each term of a question, the rarest term first; terms that are too common are left out."""
        try:
            counted = sorted((self._searcher.doc_freq("text", term), term) for term in question_terms(question))
            found, read = [], 0
            for n_blocks, term in counted:
                if read and read + n_blocks > MAX_HITS:
                    break
                read += n_blocks
                found.append(self._hits_of(term))
        except ValueError as error:
            raise TreeDamagedError(
                f"the lexical index cannot be read: {error}", "remove lexical/ in the tree, and run `mctool ingest`"
            ) from error
        return found

    def _hits_of(self, term: str) -> TermHits:
        timeline = self._timeline
        in_path = timeline.document_of(self._blocks("path", term))
        return TermHits(
            term=term,
            blocks=timeline.rank(self._live(self._blocks("text", term))),
            definitions=timeline.rank(self._live(self._blocks("definition", term))),
            documents=np.unique(in_path[in_path >= 0]),
        )

    def _live(self, blocks: IntArray) -> IntArray:
        return blocks[self._timeline.document_of(blocks) >= 0]

    def _blocks(self, field: str, term: str) -> IntArray:
        limit = self._searcher.doc_freq(field, term)
        if not limit:
            return np.zeros(0, np.int64)
        query = tantivy.Query.term_query(self._schema, field, term, "basic")
        found = self._searcher.search(query, limit=limit, count=False, order_by_field="block", order=tantivy.Order.Asc)
        return np.fromiter((block for block, _ in found.hits), np.int64, len(found.hits))


def check_lexical(tree: Tree) -> str | None:
    """What is wrong with the stored index of a tree, in words; None when it is sound and belongs to the snapshot."""
    return index_fault(tree.layout, tree.generation)


def is_behind(layout: Layout, snapshot: Snapshot) -> bool:
    """Whether the stored index is one that an interrupted ingest left unfinished, which is no damage."""
    stamp = Stamp.read(layout)
    if stamp is not None:
        return not (stamp.sound and stamp.fits(snapshot.generation))
    return layout.former_lexical.is_dir() or not snapshot.documents


def remake_lexical(path: Path) -> None:
    """Make the stored index of a tree anew where it is missing, behind or damaged.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another writer holds the lock.
        TreeDamagedError: The text of the tree cannot be read.
        ResourceError: The disk is full or cannot be written.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    try:
        generation = catalog.snapshot.generation
        writer = LexicalWriter(layout, generation, catalog.snapshot.documents, up_to_bytes=None)
        try:
            if writer.is_stale:
                writer.prepare()
                writer.finish(generation)
        finally:
            writer.close()
    finally:
        catalog.close()


def index_fault(layout: Layout, generation: int, up_to_bytes: int | None = CHECKED_BYTES) -> str | None:
    """What is wrong with the stored index for a generation of the catalog, in words; None when nothing is.

    Args:
        layout: The tree.
        generation: Of its catalog.
        up_to_bytes: Largest index whose checksums are checked; None for any.
    """
    stamp = Stamp.read(layout)
    if stamp is None or not stamp.sound or not stamp.fits(generation):
        return "it does not belong to the catalog's generation"
    try:
        fault = _file_fault(layout, stamp, up_to_bytes)
        if fault is not None:
            return fault
        with _opened(layout.lexical_index) as index:
            n_blocks = index.searcher().num_docs
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"
    return None if n_blocks == stamp.n_blocks else f"it holds {n_blocks} blocks, not {stamp.n_blocks}"


def _file_fault(layout: Layout, stamp: Stamp, up_to_bytes: int | None) -> str | None:
    """What the checksums say, in words; None when they are right, or the index is too large to check now."""
    index = layout.lexical_index
    if stamp.meta_crc is not None and meta_crc(index) != stamp.meta_crc:
        return f"{META} or a footer is not as it was written"
    if up_to_bytes is not None and index_bytes(index) > up_to_bytes:
        return None
    return file_fault(index)
