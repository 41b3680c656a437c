"""The live timeline: the tokens of all live documents, one after the other.

Two coordinates are used everywhere:

* **block ids** (see :mod:`mctool.core.blocks`) name stored blocks and never change; retired documents leave holes,
* **token positions** count the tokens of live documents from 0, without holes.

A timeline knows only where documents lie, so it takes memory by the document, not by the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import BLOCK_TOKENS, blocks_per_node

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where the live documents lie, in timeline order.

    Attributes:
        first_block: Block id at which each document begins, ascending, shape [D].
        n_tokens: Tokens of each document, at least 1, shape [D].
    """

    first_block: IntArray
    n_tokens: IntArray

    def __post_init__(self) -> None:
        if self.first_block.shape != self.n_tokens.shape or self.first_block.ndim != 1:
            raise ValueError(
                f"first_block {self.first_block.shape} and n_tokens {self.n_tokens.shape} must be equal 1-D shapes"
            )
        if len(self.n_tokens) and int(self.n_tokens.min()) < 1:
            raise ValueError("a live document holds at least one token")
        if len(self.first_block) and int(self.first_block[0]) < 0:
            raise ValueError(f"block ids begin at 0, not at {int(self.first_block[0])}")
        if np.any(self.first_block[1:] < self.end_block[:-1]):
            raise ValueError("documents overlap or are out of order")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeline):
            return NotImplemented
        same_blocks = np.array_equal(self.first_block, other.first_block)
        return same_blocks and np.array_equal(self.n_tokens, other.n_tokens)

    @classmethod
    def of_documents(cls, extents: list[tuple[int, int]]) -> Timeline:
        """Build from (first_block, n_tokens) pairs in timeline order."""
        table = np.array(extents, dtype=np.int64).reshape(-1, 2)
        return cls(table[:, 0].copy(), table[:, 1].copy())

    @cached_property
    def n_blocks(self) -> IntArray:
        """Blocks of each document, shape [D]."""
        return -(-self.n_tokens // BLOCK_TOKENS)

    @cached_property
    def end_block(self) -> IntArray:
        """One past the last block id of each document, shape [D]."""
        return self.first_block + self.n_blocks

    @cached_property
    def start_token(self) -> IntArray:
        """Token position at which each document begins; one more entry for the end of the timeline, shape [D + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.n_tokens)])

    @cached_property
    def start_rank(self) -> IntArray:
        """Live blocks before each document; one more entry for all of them, shape [D + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.n_blocks)])

    @property
    def total_tokens(self) -> int:
        """Tokens of all live documents."""
        return int(self.start_token[-1])

    @property
    def total_blocks(self) -> int:
        """Live blocks."""
        return int(self.start_rank[-1])

    def rank(self, block: npt.ArrayLike) -> IntArray:
        """Number of live blocks before each block id; the same for all ids within a hole.

        Args:
            block: Block ids, any shape; they need not be live.
        """
        block = np.asarray(block, dtype=np.int64)
        if not len(self.first_block):
            return np.zeros_like(block)
        document = np.searchsorted(self.first_block, block, side="right") - 1
        known = np.maximum(document, 0)
        inside = np.clip(block - self.first_block[known], 0, self.n_blocks[known])
        return np.where(document < 0, 0, self.start_rank[known] + inside)

    def token_start(self, block: npt.ArrayLike) -> IntArray:
        """Token position of the first live token at or after each block id."""
        block = np.asarray(block, dtype=np.int64)
        if not len(self.first_block):
            return np.zeros_like(block)
        document = np.searchsorted(self.first_block, block, side="right") - 1
        known = np.maximum(document, 0)
        inside = np.clip((block - self.first_block[known]) * BLOCK_TOKENS, 0, self.n_tokens[known])
        return np.where(document < 0, 0, self.start_token[known] + inside)

    def blocks_at(self, rank: npt.ArrayLike) -> IntArray:
        """Block ids of the live blocks with the given ranks in [0, total_blocks)."""
        rank = np.asarray(rank, dtype=np.int64)
        document = np.searchsorted(self.start_rank, rank, side="right") - 1
        blocks: IntArray = self.first_block[document] + rank - self.start_rank[document]
        return blocks

    def document_of(self, block: npt.ArrayLike) -> IntArray:
        """Index into the live documents for each live block id; -1 for a block that is not live."""
        block = np.asarray(block, dtype=np.int64)
        if not len(self.first_block):
            return np.full_like(block, -1)
        document = np.searchsorted(self.first_block, block, side="right") - 1
        known = np.maximum(document, 0)
        return np.where((document >= 0) & (block < self.end_block[known]), document, -1)

    def live_blocks_of(self, lod: npt.ArrayLike, index: npt.ArrayLike) -> IntArray:
        """Number of live blocks that each node (lod, index) covers."""
        first, end = self._block_ranges(lod, index)
        return self.rank(end) - self.rank(first)

    def token_range_of(self, lod: npt.ArrayLike, index: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        """Half-open token ranges that the nodes (lod, index) cover; empty where nothing of a node is live."""
        first, end = self._block_ranges(lod, index)
        return self.token_start(first), self.token_start(end)

    def nodes_at(self, lod: int) -> IntArray:
        """Indices of all nodes of a level that cover at least one live block, ascending.

        Work and memory are by the document and by the result, not by the block.
        """
        span = blocks_per_node(lod)
        first, last = self.first_block // span, (self.end_block - 1) // span
        counts = last - first + 1
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.unique(np.repeat(first, counts) + offsets)

    def node_rank(self, lod: int, index: npt.ArrayLike) -> IntArray:
        """Number of live nodes of a level (those of :meth:`nodes_at`) whose index is below each given one.

        Args:
            lod: One level.
            index: Indices at that level, any shape; the nodes need not be live.
        """
        span = blocks_per_node(lod)
        index = np.asarray(index, dtype=np.int64)
        if not len(self.first_block):
            return np.zeros_like(index)
        first, last = self.first_block // span, (self.end_block - 1) // span
        counts = last - first + 1
        counts[1:] -= first[1:] == last[:-1]  # a node that two documents share counts for the earlier one
        nodes_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        begun = np.searchsorted(first, index, side="left")
        beyond = np.maximum(last[np.maximum(begun - 1, 0)] + 1 - index, 0)
        return nodes_before[begun] - np.where(begun > 0, beyond, 0)

    def n_nodes(self, lod: int) -> int:
        """Number of live nodes of a level, without listing them."""
        return int(self.node_rank(lod, self.end_block[-1] // blocks_per_node(lod) + 1)) if len(self.end_block) else 0

    def n_children(self, lod: npt.ArrayLike, index: npt.ArrayLike) -> IntArray:
        """Number of live children of each node (lod, index) of level >= 1; 1 for a live LOD1 node."""
        lod, index = np.broadcast_arrays(np.asarray(lod, np.int64), np.asarray(index, np.int64))
        counts = self.live_blocks_of(lod, index)
        for level in range(2, int(lod.max(initial=1)) + 1):
            here = lod == level
            first = index[here] * BLOCK_TOKENS
            counts[here] = self.node_rank(level - 1, first + BLOCK_TOKENS) - self.node_rank(level - 1, first)
        return counts

    def children(self, lod: int, index: int) -> IntArray:
        """Indices at level ``lod`` - 1 of the live children of a node of level >= 1, ascending."""
        if lod <= 1:
            return np.array([index], dtype=np.int64)
        candidates = np.arange(index * BLOCK_TOKENS, (index + 1) * BLOCK_TOKENS, dtype=np.int64)
        return candidates[self.live_blocks_of(lod - 1, candidates) > 0]

    @staticmethod
    def _block_ranges(lod: npt.ArrayLike, index: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        level = np.maximum(np.asarray(lod, dtype=np.int64) - 1, 0)
        span = np.power(np.int64(BLOCK_TOKENS), level)
        index = np.asarray(index, dtype=np.int64)
        return index * span, (index + 1) * span
