"""Block and LOD arithmetic: which node covers which blocks.

A *block* is K = 32 consecutive tokens of one document (the last block of a document may hold fewer). Blocks are
numbered by a global **block id**: segment s owns the ids [s * SEGMENT_BLOCKS, (s + 1) * SEGMENT_BLOCKS), so that every
LOD node lies within one segment. A **node** is a pair (lod, index):

* LOD0, index b: the raw tokens of block b,
* LOD1, index b: the gist of block b,
* LODn, index i: the gist of the LOD(n-1) nodes [32 i, 32 i + 32).
"""

from __future__ import annotations

BLOCK_TOKENS = 32
"""K: tokens per block, and children per gist."""

TOP_LOD = 4
"""The coarsest level: one LOD4 node covers one whole segment."""

SEGMENT_BLOCKS = BLOCK_TOKENS ** (TOP_LOD - 1)
"""Blocks that one segment can hold: 32,768, that is 1,048,576 tokens."""


def blocks_per_node(lod: int) -> int:
    """Number of block ids that a node of level ``lod`` covers; 1 for LOD0 and LOD1."""
    return int(BLOCK_TOKENS ** max(lod - 1, 0))


def node_of_block(block: int, lod: int) -> int:
    """Index of the node of level ``lod`` that covers ``block``."""
    return block // blocks_per_node(lod)


def block_range(lod: int, index: int) -> tuple[int, int]:
    """Half-open range of block ids that node (lod, index) covers."""
    span = blocks_per_node(lod)
    return index * span, (index + 1) * span


def parent(lod: int, index: int) -> tuple[int, int]:
    """The node one level coarser: (1, b) for (0, b), else (lod + 1, index // 32)."""
    return (1, index) if lod == 0 else (lod + 1, index // BLOCK_TOKENS)


def nodes_in_segment(lod: int, n_blocks: int) -> int:
    """Number of nodes of level ``lod`` >= 1 in a segment that holds ``n_blocks`` blocks."""
    return -(-n_blocks // blocks_per_node(lod))
