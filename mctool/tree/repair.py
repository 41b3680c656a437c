"""Making the damaged parts of a tree anew from what is left of it.

All of a segment but its text follows from the text, and the text follows from the token ids or from the source. What is
made anew counts only when it has the digest that the segment was sealed with, which its name begins with; so a repair
gives exactly what was there, or says that it cannot. Gists, which come from a net, need not be equal to the last bit.

A segment is made anew beside the damaged one, and the catalog changes over in one transaction.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS, TOP_LOD, nodes_in_segment
from mctool.core.errors import SourceError, TreeDamagedError
from mctool.tree import layout as names
from mctool.tree.catalog_writer import CatalogWriter
from mctool.tree.content import IdArray, IntArray, SegmentBuffer, SegmentContent, cut_blocks
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.gists import GistArray, GistBuilder, build_leaves, build_parents
from mctool.tree.keys import KeyBuilder, KeyManifest, live_segments, make_keys
from mctool.tree.layout import Layout
from mctool.tree.locks import no_readers
from mctool.tree.rows import Document, Segment
from mctool.tree.segment_reader import SegmentReader
from mctool.tree.segments import checksum_files, move_into_place, remove_leftovers, write_segment
from mctool.tree.verify import check_keys, check_segment

_DIGITS = 12
"""Hexadecimal digits of its digest that the name of a segment holds."""


class TextMaker(Protocol):
    """What turns text into tokens and back, and knows where documents came from."""

    def encode(self, text: str) -> tuple[IdArray, IntArray]:
        """Token ids, and the code points at which they begin; both of shape [n]."""
        ...

    def decode(self, ids: IdArray) -> str:
        """The text of token ids, shape [n]."""
        ...

    def source(self, document: Document) -> str | None:
        """The text of a document from its source; None unless that is still what was ingested."""
        ...


def repair_segments(path: Path, builder: GistBuilder | None, maker: TextMaker) -> None:
    """Make the damaged segments of a tree anew, as far as that can be done; the others stay as they are.

    Args:
        path: Directory of the tree.
        builder: Builds gists; None exactly when the tree was made without.
        maker: The tokenizer that made the tree.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another writer holds the lock.
        TreeDamagedError: The catalog cannot be understood.
        ResourceError: The disk is full; the tree is as it was.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    try:
        run = _Repair(layout, catalog, builder, maker)
        repaired = [new for segment in catalog.snapshot.segments if (new := run.repair(segment)) is not None]
        if not repaired:
            return
        catalog.replace_segments(repaired)
        current = {segment.number: segment for segment in (*catalog.snapshot.segments, *repaired)}
        with suppress(OSError), no_readers(layout.segments) as alone:
            if alone:
                remove_leftovers(layout, list(current.values()))
    finally:
        catalog.close()


def repair_keys(path: Path, builder: KeyBuilder | None) -> None:
    """Make the damaged lens keys of a tree anew where they are those of the encoder in use; remove them elsewhere.

    Args:
        path: Directory of the tree.
        builder: The key encoder in use; None without one.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another writer holds the lock.
        TreeDamagedError: The catalog cannot be understood.
        ResourceError: The disk is full; what was made stays.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    try:
        segments = catalog.snapshot.segments
        live = {segment.number for segment in live_segments(catalog.snapshot.timeline(), segments)}
        for segment in segments:
            for name in {Path(damage.where).parts[1] for damage in check_keys(layout, segment)}:
                directory = layout.keys / name
                is_ours = builder is not None and directory == layout.segment_keys(segment.name, builder.fingerprint)
                if builder is not None and is_ours and segment.number in live:
                    with suppress(TreeDamagedError):  # of the text: keys cannot be made of that
                        reader = SegmentReader(layout, segment)
                        make_keys(layout, segment, builder, reader.block_texts(), reader.char_starts(), _ignore)
                else:
                    shutil.rmtree(directory, ignore_errors=True)
    finally:
        catalog.close()


class _Repair:
    """One pass over the segments of a tree, under its write lock."""

    def __init__(self, layout: Layout, catalog: CatalogWriter, builder: GistBuilder | None, maker: TextMaker) -> None:
        self._layout = layout
        self._fingerprint: Fingerprint = catalog.snapshot.fingerprint
        self._timeline = catalog.snapshot.timeline()
        self._archived = catalog.snapshot.archived
        self._documents = [stored.document for stored in catalog.stored_documents()]
        self._segments = {segment.number: segment for segment in catalog.snapshot.segments}
        self._builder = builder
        self._maker = maker
        self._parts: dict[int, dict[int, str] | None] = {}

    def repair(self, segment: Segment) -> Segment | None:
        """A sound segment in place of a damaged one; None when it is sound, or cannot be made anew."""
        raw = [document for document in self._documents if document.id not in self._archived]
        if not check_segment(self._layout, segment, self._fingerprint, raw):
            return None
        if any(document.id in self._archived for document in self._within(segment)):
            return None  # gists of archived text cannot be made anew; once it is restored, they can
        digest = segment.name.partition("-")[2][:_DIGITS]
        content = next((found for make in (self._stored, self._remade) if (found := make(segment, digest))), None)
        if content is None:
            return None
        name = self._layout.repaired_name(segment.name)
        full = content.digest(self._fingerprint)
        new = write_segment(
            self._layout, segment.number, content, self._fingerprint, full, self._gists(segment, content), name
        )
        self._copy_keys(segment, new)
        return new

    def _stored(self, segment: Segment, digest: str) -> SegmentContent | None:
        """The content as it is stored, if that is what was sealed."""
        with suppress(TreeDamagedError, ValueError):
            reader = SegmentReader(self._layout, segment, check=False)
            rows = np.arange(segment.n_blocks)
            bounds = reader.byte_bounds()
            content = SegmentContent(
                ids=reader.ids(rows),
                lengths=self._lengths(segment),
                byte_start=bounds[:-1].astype(np.uint32),
                char_start=reader.char_starts(),
                line_start=reader.line_starts(),
                text=reader.whole_text(),
            )
            return self._proven(content, digest)
        return None

    def _remade(self, segment: Segment, digest: str) -> SegmentContent | None:
        """The content made of the text of its documents, if that gives what was sealed."""
        first, end = _blocks(segment)
        for text_of in (self._stored_text, self._decoded_text, self._any_text):
            buffer = SegmentBuffer()
            for document in self._within(segment):
                text = text_of(document)
                if not text:
                    break
                try:
                    blocks = cut_blocks(document.path, *self._maker.encode(text), text)
                except (ValueError, SourceError):
                    break
                part = slice(max(first - document.first_block, 0), min(end, document.end_block) - document.first_block)
                if part.stop > len(blocks):
                    break
                buffer.append(blocks[part])
            else:
                content = self._proven(buffer.content(), digest) if buffer.n_blocks == segment.n_blocks else None
                if content is not None:
                    return content
        return None

    def _proven(self, content: SegmentContent, digest: str) -> SegmentContent | None:
        return content if content.digest(self._fingerprint)[:_DIGITS] == digest else None

    def _any_text(self, document: Document) -> str | None:
        """The text of a document from where it can be had, each document by itself."""
        for text_of in (self._maker.source, self._stored_text, self._decoded_text):
            text = text_of(document)
            if text is not None and len(text) == document.n_chars:
                return text
        return None

    def _stored_text(self, document: Document) -> str | None:
        """The text of a document as it is stored, if all of it can be read."""
        parts = [self._parts_of(segment) for segment in self._around(document)]
        if any(part is None or document.id not in part for part in parts):
            return None
        return "".join(part[document.id] for part in parts if part is not None)

    def _decoded_text(self, document: Document) -> str | None:
        """The text of a document as its token ids spell it, if all of them can be read."""
        ids = []
        for segment in self._around(document):
            first, end = _blocks(segment)
            rows = np.arange(max(document.first_block, first), min(document.end_block, end)) - first
            if not self._is_sound(segment, names.LOD0):
                return None
            with suppress(TreeDamagedError):
                ids.append(SegmentReader(self._layout, segment, check=False).ids(rows))
        if sum(map(len, ids)) != document.n_blocks:
            return None
        return self._maker.decode(np.concatenate(ids).reshape(-1)[: document.n_tokens])

    def _parts_of(self, segment: Segment) -> dict[int, str] | None:
        """What the text of a segment holds of each document, by document id; None when it cannot be read."""
        if segment.number not in self._parts:
            self._parts[segment.number] = None
            if self._is_sound(segment, names.TEXT):
                with suppress(TreeDamagedError, UnicodeDecodeError):
                    text = SegmentReader(self._layout, segment, check=False).whole_text().decode()
                    self._parts[segment.number] = self._split(segment, text)
        return self._parts[segment.number]

    def _is_sound(self, segment: Segment, array: str) -> bool:
        """Whether the files of an array are as they were written."""
        files = {path: sums for path, sums in segment.files.items() if path.startswith(f"{array}/")}
        return _are_sound(self._layout.segment(segment.name), files)

    def _split(self, segment: Segment, text: str) -> dict[int, str]:
        """The text of a segment, cut where the counts of characters in the catalog say that documents end."""
        parts, place = {}, 0
        for document in self._within(segment):
            before = [one for one in self._around(document) if one.number < segment.number]
            known = [(self._parts_of(one) or {}).get(document.id) for one in before]
            if document.end_block > _blocks(segment)[1]:
                parts[document.id] = text[place:]
            elif None in known:
                break  # where this one ends, and the next ones begin, is not known
            else:
                length = document.n_chars - sum(len(part or "") for part in known)
                parts[document.id] = text[place : place + length]
                place += length
        return parts

    def _gists(self, segment: Segment, content: SegmentContent) -> dict[int, GistArray]:
        """The gists of a segment: those that can be read, and the others made anew."""
        if self._builder is None:
            return {}
        reader = SegmentReader(self._layout, segment, check=False)
        rows = np.arange(segment.n_blocks)
        try:
            leaves = self._sound_gists(segment, reader, 1)
        except TreeDamagedError:
            leaves = build_leaves(self._builder, content.ids, content.lengths, self._fingerprint.d_model, _ignore)
        else:
            with suppress(TreeDamagedError):
                return {1: leaves, **{lod: self._sound_gists(segment, reader, lod) for lod in range(2, TOP_LOD + 1)}}
        live = self._timeline.document_of(rows + segment.number * SEGMENT_BLOCKS) >= 0
        return {1: leaves, **build_parents(self._builder, leaves, live)}

    def _sound_gists(self, segment: Segment, reader: SegmentReader, lod: int) -> GistArray:
        """All gists of a level as they were written.

        Raises:
            TreeDamagedError: They are not.
        """
        name = names.gists_array(lod, segment.revision)
        if not self._is_sound(segment, name):
            raise TreeDamagedError(f"{name} is damaged")
        return reader.gists(lod, np.arange(nodes_in_segment(lod, segment.n_blocks)))

    def _copy_keys(self, old: Segment, new: Segment) -> None:
        """Give the sound lens keys of a segment to the one that takes its place."""
        for directory in sorted(self._layout.keys.glob(f"{old.name}-*")):
            manifest = KeyManifest.read(directory)
            if manifest is None or not manifest.is_of(self._layout, old, directory):
                continue
            if _are_sound(directory, manifest.files):
                final = self._layout.segment_keys(new.name, manifest.encoder)
                unfinished = self._layout.unfinished_keys(final.name)
                shutil.rmtree(unfinished, ignore_errors=True)
                shutil.copytree(directory, unfinished)
                move_into_place(unfinished, final)

    def _within(self, segment: Segment) -> list[Document]:
        """The documents of a segment, live and retired, in the order of their blocks."""
        first, end = _blocks(segment)
        return [one for one in self._documents if one.first_block < end and first < one.end_block]

    def _around(self, document: Document) -> list[Segment]:
        """The segments that hold a document; those that the catalog lacks are left out."""
        numbers = range(document.first_block // SEGMENT_BLOCKS, (document.end_block - 1) // SEGMENT_BLOCKS + 1)
        return [self._segments[number] for number in numbers if number in self._segments]

    def _lengths(self, segment: Segment) -> IntArray:
        """Tokens of each block, shape [n_blocks]."""
        lengths = np.full(segment.n_blocks, BLOCK_TOKENS, np.int64)
        first, end = _blocks(segment)
        for document in self._within(segment):
            if document.end_block <= end:
                lengths[document.end_block - 1 - first] -= document.n_blocks * BLOCK_TOKENS - document.n_tokens
        return lengths


def _are_sound(directory: Path, files: dict[str, tuple[int, str]]) -> bool:
    try:
        return bool(files) and checksum_files(directory, files) == files
    except OSError:
        return False


def _blocks(segment: Segment) -> tuple[int, int]:
    first = segment.number * SEGMENT_BLOCKS
    return first, first + segment.n_blocks


def _ignore(_blocks: int) -> None:
    """Nobody watches."""
