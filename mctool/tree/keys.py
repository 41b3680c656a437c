"""Lens keys: what a key encoder makes of the text of each block, to be multiplied with a question.

Keys come from the text alone, so they are no part of the segments: those of a segment and an encoder are a Zarr group
of their own, which appears whole or not at all. A better encoder makes new ones beside the old, and a tree without keys
or with damaged ones can be used all the same. Shape letters: B blocks of a segment, N live blocks, D width of a key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import zarr

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, UsageError
from mctool.core.timeline import Timeline
from mctool.tree import layout as names
from mctool.tree.catalog_writer import CatalogWriter
from mctool.tree.centroids import KeyArray, ScaleArray, make_centroids
from mctool.tree.checked_rows import CheckedRows
from mctool.tree.content import IntArray
from mctool.tree.failures import read_failures, write_failures
from mctool.tree.layout import Layout
from mctool.tree.locks import no_readers
from mctool.tree.rows import FileChecksums, Segment
from mctool.tree.segment_reader import SegmentReader
from mctool.tree.segments import checksum_files, files_below, move_into_place, write_group

BATCH_BLOCKS = 1024
"""Blocks handed to the encoder at once, up to twice as many; longer documents are cut at multiples of it."""


class KeyBuilder(Protocol):
    """What turns the text of blocks into keys."""

    @property
    def fingerprint(self) -> str:
        """Names exactly this encoder."""
        ...

    @property
    def width(self) -> int:
        """D."""
        ...

    def document_keys(self, documents: Sequence[Sequence[str]]) -> tuple[KeyArray, ScaleArray]:
        """Keys of documents, each the texts of consecutive blocks, B in all: int8 [B, D] and float16 [B].

        The key of a block is ``keys[i] * scale[i]``.
        """
        ...


@dataclass(frozen=True)
class KeyManifest:
    """What the keys of a segment say about themselves: their encoder, their number, their files."""

    encoder: str
    n_blocks: int
    files: FileChecksums

    @classmethod
    def read(cls, directory: Path) -> KeyManifest | None:
        """The manifest in a directory of keys; None when there is none that can be understood."""
        try:
            fields = json.loads(Layout.manifest(directory).read_text())
            files = {path: (int(size), str(sha)) for path, (size, sha) in fields["files"].items()}
            return cls(str(fields["encoder"]), int(fields["n_blocks"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def is_of(self, layout: Layout, segment: Segment, directory: Path) -> bool:
        """Whether it is that of the keys of a segment in a directory, whose own attributes name their encoder, too."""
        named = self.encoder
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged file has another checksum than it should
            if checksum_files(directory, ["zarr.json"])["zarr.json"] == self.files["zarr.json"]:
                named = json.loads((directory / "zarr.json").read_bytes())["attributes"]["encoder"]
        fits = directory == layout.segment_keys(segment.name, self.encoder) and named == self.encoder
        return fits and self.n_blocks == segment.n_blocks and bool(self.files)

    def write(self, directory: Path) -> None:
        """Write it beside the arrays."""
        Layout.manifest(directory).write_text(json.dumps(self.__dict__))


def read_keys(layout: Layout, segment: Segment, encoder: str) -> tuple[KeyArray, ScaleArray]:
    """The keys [B, D] and scales [B] of a segment by an encoder.

    Raises:
        TreeDamagedError: They cannot be read.
    """
    directory = layout.segment_keys(segment.name, encoder)
    with read_failures(directory):
        return CheckedRows.open(directory / names.KEYS).all(), read_scale(directory)


def read_scale(directory: Path) -> ScaleArray:
    """The scales [B] in a directory of keys; what is wrong with them is raised as Zarr does."""
    return np.asarray(zarr.open_array(directory / names.KEY_SCALE, mode="r", zarr_format=3)[...])


def whole_encoders(layout: Layout, segments: list[Segment]) -> list[str]:
    """Fingerprints of the encoders that have made whole keys of every one of some segments; none for no segments."""
    if not segments:
        return []
    manifests = (KeyManifest.read(directory) for directory in sorted(layout.keys.glob(f"{segments[0].name}-*")))
    encoders = [manifest.encoder for manifest in manifests if manifest is not None]
    return [encoder for encoder in encoders if all(has_whole_keys(layout, one, encoder) for one in segments)]


def live_segments(timeline: Timeline, segments: list[Segment]) -> list[Segment]:
    """The segments that hold a live block."""
    first = np.array([segment.number * SEGMENT_BLOCKS for segment in segments], np.int64)
    end = first + np.array([segment.n_blocks for segment in segments], np.int64)
    n_live = timeline.rank(end) - timeline.rank(first)
    return [segment for segment, n in zip(segments, n_live.tolist(), strict=True) if n]


def make_keys(
    layout: Layout,
    segment: Segment,
    builder: KeyBuilder,
    texts: Sequence[str],
    char_start: IntArray,
    on_blocks: Callable[[int], None],
) -> None:
    """Make the keys of a segment and put them in place of those that may be there.

    Args:
        layout: The tree, whose write lock the caller holds.
        segment: The segment.
        builder: The key encoder.
        texts: Text of each block, B of them.
        char_start: First character of each block in its document, 0 where one begins, shape [B].
        on_blocks: Called after each batch with its number of blocks.

    Raises:
        MismatchError: The encoder gives scales that cannot be stored.
        ResourceError: The disk is full or cannot be written.
    """
    keys, scale = build_keys(builder, texts, char_start, on_blocks)
    write_keys(layout, segment, builder.fingerprint, keys, scale)


def write_keys(layout: Layout, segment: Segment, encoder: str, keys: KeyArray, scale: ScaleArray) -> None:
    """Store the keys [B, D] and scales [B] of a segment by an encoder with their centroids, in place of what is there.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    final = layout.segment_keys(segment.name, encoder)
    unfinished = layout.unfinished_keys(final.name)
    with write_failures(layout.root):
        layout.keys.mkdir(exist_ok=True)
        try:
            centroids, centroid_scale = make_centroids(keys, scale)
            arrays: dict[str, npt.NDArray[Any]] = {
                names.KEYS: keys,
                names.KEY_SCALE: scale,
                names.CENTROIDS: centroids,
                names.CENTROID_SCALE: centroid_scale,
            }
            write_group(unfinished, arrays, {"encoder": encoder})
            files = checksum_files(unfinished, files_below(unfinished))
            KeyManifest(encoder, len(keys), files).write(unfinished)
            move_into_place(unfinished, final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def build_keys(
    builder: KeyBuilder, texts: Sequence[str], char_start: IntArray, on_blocks: Callable[[int], None]
) -> tuple[KeyArray, ScaleArray]:
    """Keys [B, D] and scales [B] of the blocks of a segment, documents whole so that blocks have their neighbours.

    Arguments and what is raised are those of :func:`make_keys`.
    """
    keys, scale = np.zeros((len(texts), builder.width), np.int8), np.zeros(len(texts), np.float16)
    for batch in _batches(char_start):
        first, end = batch[0].start, batch[-1].stop
        built, scales = builder.document_keys([texts[run.start : run.stop] for run in batch])
        if built.shape != (end - first, builder.width) or scales.shape != (end - first,):
            raise ValueError(f"keys {built.shape} and scales {scales.shape} are not those of {end - first} blocks")
        if not np.isfinite(scales).all():
            raise MismatchError("the key encoder gave scales that are not finite", "use another key encoder")
        keys[first:end], scale[first:end] = built, scales
        on_blocks(end - first)
    return keys, scale


def has_whole_keys(layout: Layout, segment: Segment, encoder: str) -> bool:
    """Whether the keys of a segment by an encoder are there, every file with the checksum that the manifest says."""
    directory, files = key_files(layout, segment, encoder)
    try:
        return bool(files) and checksum_files(directory, files) == files
    except OSError:
        return False


def rekey_tree(path: Path, builder: KeyBuilder, progress: Callable[[int, int], None] | None = None) -> int:
    """Make the keys that the live segments of a tree lack, or that are damaged, segment by segment.

    Sound keys without centroids get these when nobody reads the tree.

    Args:
        path: Directory of the tree.
        builder: The key encoder.
        progress: Told the blocks that are done, and all that there are to do.

    Returns:
        Number of blocks that got keys.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another writer holds the lock.
        UsageError: The text that keys are to be made of is archived.
        TreeDamagedError: The catalog or the text of a segment cannot be understood.
        ResourceError: The disk is full; what was made stays.
    """
    layout = Layout(path)
    catalog = CatalogWriter(layout)
    done = 0
    try:
        segments = catalog.snapshot.segments
        live = live_segments(catalog.snapshot.timeline(), segments)
        lacking = [segment for segment in live if not has_whole_keys(layout, segment, builder.fingerprint)]
        n_blocks = sum(segment.n_blocks for segment in lacking)
        hidden = [one for one in catalog.snapshot.documents if one.id in catalog.snapshot.archived]
        extents = Timeline.of_documents([(one.first_block, one.n_tokens) for one in hidden])
        if live_segments(extents, lacking):
            raise UsageError(
                "the text of archived documents is needed for lens keys", "run `mctool curate restore` first"
            )

        def count(n: int) -> None:
            nonlocal done
            done += n
            if progress is not None:
                progress(done, n_blocks)

        for segment in lacking:
            reader = SegmentReader(layout, segment)
            make_keys(layout, segment, builder, reader.block_texts(), reader.char_starts(), count)
        with suppress(OSError), no_readers(layout.segments) as alone:
            if alone:
                remove_key_leftovers(layout, segments, builder.fingerprint)
                _add_centroids(layout, live, builder.fingerprint)
    finally:
        catalog.close()
    return done


def _add_centroids(layout: Layout, segments: list[Segment], encoder: str) -> None:
    """Store the keys of segments that were made before there were centroids with these; nobody reads them."""
    for segment in segments:
        _, files = key_files(layout, segment, encoder)
        if not has_centroids(files):
            write_keys(layout, segment, encoder, *read_keys(layout, segment, encoder))


def remove_key_leftovers(layout: Layout, segments: list[Segment], encoder: str | None) -> None:
    """Remove the keys of unknown segments, unfinished ones, and those of other encoders that have been replaced.

    Args:
        layout: The tree, which nobody reads.
        segments: Those that the catalog names.
        encoder: Fingerprint of the encoder in use; None when that is not known.
    """
    if not layout.keys.is_dir():
        return
    known = {segment.name for segment in segments}
    for entry in layout.keys.iterdir():
        segment = "-".join(entry.name.split("-")[:2])
        current = layout.segment_keys(segment, encoder) if encoder is not None else entry
        if segment not in known or (entry != current and current.is_dir()):
            shutil.rmtree(entry, ignore_errors=True)


def has_centroids(files: FileChecksums) -> bool:
    """Whether the files of the keys of a segment include centroids, as those of older versions do not."""
    return f"{names.CENTROIDS}/zarr.json" in files


def key_files(layout: Layout, segment: Segment, encoder: str) -> tuple[Path, FileChecksums]:
    """The directory of the keys of a segment, and its files by the manifest; none where that says something else."""
    directory = layout.segment_keys(segment.name, encoder)
    manifest = KeyManifest.read(directory)
    fits = manifest is not None and (manifest.encoder, manifest.n_blocks) == (encoder, segment.n_blocks)
    return directory, manifest.files if manifest is not None and fits else {}


def _batches(char_start: IntArray) -> Iterator[list[range]]:
    """Runs of blocks of one document each, gathered until a batch is full; together all blocks."""
    begins = np.flatnonzero(char_start == 0).tolist()
    bounds = sorted({0, *begins, len(char_start)})
    batch: list[range] = []
    for first, end in pairwise(bounds):
        for start in range(first, end, BATCH_BLOCKS):
            batch.append(range(start, min(start + BATCH_BLOCKS, end)))
            if batch[-1].stop - batch[0].start >= BATCH_BLOCKS:
                yield batch
                batch = []
    if batch:
        yield batch
