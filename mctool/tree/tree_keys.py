"""Reading lens keys: a question against the key of every live block, or against those of some LOD2 nodes alone.

Shape letters: N live blocks, M live LOD2 nodes that have centroids, P parts of a node, D width of a key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.timeline import Timeline
from mctool.tree import layout as names
from mctool.tree.centroids import (
    NODE_BLOCKS,
    NODE_LOD,
    PART_BLOCKS,
    PARTS,
    FloatArray,
    KeyArray,
    ScaleArray,
    SignArray,
    sign_products,
)
from mctool.tree.checked_rows import CheckedRows
from mctool.tree.content import IntArray
from mctool.tree.failures import read_failures
from mctool.tree.keys import has_centroids, key_files, live_segments, read_keys, read_scale
from mctool.tree.layout import Layout
from mctool.tree.rows import Segment

BoolArray = npt.NDArray[np.bool_]
Rows = TypeVar("Rows", KeyArray, SignArray)

SCORED_BLOCKS = 4096
"""Keys that are widened to float32 at once: 6 MB of them."""

CACHED_BYTES = 256 << 20
"""Most bytes that are kept in memory between questions: the keys of 22 million tokens, the centroids of 700 million."""


@dataclass(frozen=True)
class NodeScores:
    """How like a question LOD2 nodes are by their centroids.

    Attributes:
        nodes: Indices of the live nodes whose segments have centroids, ascending, shape [M].
        best: Of the part whose centroid points most where the question does, about -1 to 1; the least of all numbers
            where no part has a word. Shape [M].
        expected: About the mean similarity of the blocks of each part, shape [M, P].
    """

    nodes: IntArray
    best: FloatArray
    expected: FloatArray


class TreeKeys:
    """The keys of all live blocks of a tree as of one snapshot; see ``Tree.keys``."""

    def __init__(self, layout: Layout, timeline: Timeline, segments: list[Segment], encoder: str) -> None:
        self._timeline = timeline
        self._segments = segments
        self._of = {segment.name: _SegmentKeys(layout, segment, encoder) for segment in segments}
        self._cache: dict[str, tuple[KeyArray, ScaleArray]] = {}
        self._kept_centroids: dict[str, tuple[SignArray, ScaleArray]] = {}
        self._cached_bytes = 0

    @classmethod
    def find(cls, layout: Layout, timeline: Timeline, segments: list[Segment], encoder: str) -> TreeKeys | None:
        """The keys that an encoder made, found by their manifests and the sizes of their files.

        Args:
            layout: The tree.
            timeline: Its live timeline.
            segments: Its segments.
            encoder: Fingerprint of the encoder.

        Returns:
            None when a segment with live blocks lacks them.
        """
        live = live_segments(timeline, segments)
        keys = cls(layout, timeline, live, encoder)
        return keys if all(one.are_there() for one in keys._of.values()) else None

    def scores(self, query: FloatArray) -> FloatArray:
        """Dot product of a question with the key of each live block, by rank.

        Args:
            query: Shape [D].

        Returns:
            Shape [N].

        Raises:
            TreeDamagedError: Stored keys cannot be read.
        """
        found = np.zeros(self._timeline.total_blocks, np.float32)
        for segment in self._segments:
            self._score_all(segment, query, found)
        return found

    def node_scores(self, query: FloatArray) -> NodeScores:
        """What the centroids say of a question.

        Args:
            query: Shape [D].

        Raises:
            TreeDamagedError: Stored centroids cannot be read.
        """
        best = np.zeros(len(self._nodes), np.float32)
        expected = np.zeros((len(self._nodes), PARTS), np.float32)
        for segment in self._segments:
            if not self._of[segment.name].has_centroids:
                continue
            first = segment.number * SEGMENT_BLOCKS // NODE_BLOCKS
            here = slice(*np.searchsorted(self._nodes, [first, first + SEGMENT_BLOCKS // NODE_BLOCKS]).tolist())
            signs, scale = self._centroids(segment)
            rows = self._nodes[here] - first
            found = sign_products(signs, query)[rows]
            expected[here] = found * scale[rows]
            best[here] = np.where(scale[rows] > 0, found, -np.inf).max(axis=1) / np.sqrt(np.float32(len(query)))
        return NodeScores(self._nodes, best, expected)

    def scores_within(self, query: FloatArray, opened: BoolArray, elsewhere: FloatArray) -> FloatArray:
        """Dot product of a question with the key of each live block of some nodes; the keys of others are not read.

        Args:
            query: Shape [D].
            opened: Which of the nodes of :meth:`node_scores` are read, shape [M].
            elsewhere: What the blocks of each part of the others get, shape [M, P].

        Returns:
            Shape [N]; blocks of segments without centroids have their products, too.

        Raises:
            TreeDamagedError: Stored keys cannot be read.
        """
        found = np.zeros(self._timeline.total_blocks, np.float32)
        for segment in self._segments:
            if not self._of[segment.name].has_centroids:
                self._score_all(segment, query, found)
                continue
            ranks, rows = self._live_rows(segment)
            first = segment.number * SEGMENT_BLOCKS
            node = np.searchsorted(self._nodes, (rows + first) // NODE_BLOCKS)
            found[ranks] = elsewhere[node, rows % NODE_BLOCKS // PART_BLOCKS]
            read = opened[node]
            keys, scale = self._read_rows(segment, rows[read])
            found[ranks.start + np.flatnonzero(read)] = _products(keys, query) * scale
        return found

    @cached_property
    def _nodes(self) -> IntArray:
        """Indices of the live LOD2 nodes whose segments have centroids, shape [M]."""
        nodes = self._timeline.nodes_at(NODE_LOD)
        numbers = [one.number for one in self._segments if self._of[one.name].has_centroids]
        return nodes[np.isin(nodes // (SEGMENT_BLOCKS // NODE_BLOCKS), numbers)]

    def _score_all(self, segment: Segment, query: FloatArray, found: FloatArray) -> None:
        ranks, rows = self._live_rows(segment)
        keys, scale = self._read(segment)
        found[ranks] = _products(keys, query)[rows] * scale[rows]

    def _live_rows(self, segment: Segment) -> tuple[slice, IntArray]:
        """The ranks of the live blocks of a segment, and the rows of their keys."""
        first = segment.number * SEGMENT_BLOCKS
        start, end = self._timeline.rank([first, first + segment.n_blocks]).tolist()
        return slice(start, end), self._timeline.blocks_at(np.arange(start, end)) - first

    def _read(self, segment: Segment) -> tuple[KeyArray, ScaleArray]:
        """All keys of a segment, and their scales."""
        return self._kept(self._cache, segment, self._of[segment.name].read)

    def _centroids(self, segment: Segment) -> tuple[SignArray, ScaleArray]:
        """All centroids of a segment, and their scales."""
        return self._kept(self._kept_centroids, segment, self._of[segment.name].centroids)

    def _kept(
        self, cache: dict[str, tuple[Rows, ScaleArray]], segment: Segment, read: Callable[[], tuple[Rows, ScaleArray]]
    ) -> tuple[Rows, ScaleArray]:
        """What a cache has of a segment, or what is read now, which stays where there is room."""
        if segment.name in cache:
            return cache[segment.name]
        found = read()
        if self._may_keep(found[0].nbytes):
            cache[segment.name] = found
        return found

    def _may_keep(self, n_bytes: int) -> bool:
        """Whether there is room; what is kept stays, for to make room would only help who reads less than all."""
        fits = self._cached_bytes + n_bytes <= CACHED_BYTES
        self._cached_bytes += n_bytes if fits else 0
        return fits

    def _read_rows(self, segment: Segment, rows: IntArray) -> tuple[KeyArray, ScaleArray]:
        """Some keys of a segment, and their scales; the system keeps of the file what is often read."""
        if segment.name in self._cache:
            keys, scale = self._cache[segment.name]
            return keys[rows], scale[rows]
        return self._of[segment.name].take(rows)


class _SegmentKeys:
    """The files of the keys of one segment."""

    def __init__(self, layout: Layout, segment: Segment, encoder: str) -> None:
        self._layout = layout
        self._segment = segment
        self._encoder = encoder
        self._directory, self._files = key_files(layout, segment, encoder)

    @property
    def has_centroids(self) -> bool:
        """Whether there are centroids, too."""
        return has_centroids(self._files)

    def are_there(self) -> bool:
        """Cheaper than ``has_whole_keys``: what is read later carries checksums of its own."""
        sizes = {path: size for path, (size, _) in self._files.items()}
        try:
            return bool(sizes) and all((self._directory / path).stat().st_size == size for path, size in sizes.items())
        except OSError:
            return False

    def read(self) -> tuple[KeyArray, ScaleArray]:
        """All keys, and their scales."""
        return read_keys(self._layout, self._segment, self._encoder)

    def centroids(self) -> tuple[SignArray, ScaleArray]:
        """All centroids, and their scales."""
        with read_failures(self._directory):
            signs, scale = (self._rows(name).all() for name in (names.CENTROIDS, names.CENTROID_SCALE))
        return signs, scale

    def take(self, rows: IntArray) -> tuple[KeyArray, ScaleArray]:
        """Keys of some rows, ascending, and their scales; no file is touched for none."""
        with read_failures(self._directory):
            return self._keys.take(rows), self._scale[rows] if len(rows) else np.zeros(0, np.float16)

    @cached_property
    def _keys(self) -> CheckedRows:
        return self._rows(names.KEYS)

    @cached_property
    def _scale(self) -> ScaleArray:
        return read_scale(self._directory)

    def _rows(self, name: str) -> CheckedRows:
        return CheckedRows.open(self._directory / name)


def _products(keys: KeyArray, query: FloatArray) -> FloatArray:
    found = np.empty(len(keys), np.float32)
    for start in range(0, len(keys), SCORED_BLOCKS):
        part = slice(start, start + SCORED_BLOCKS)
        found[part] = keys[part].astype(np.float32) @ query
    return found
