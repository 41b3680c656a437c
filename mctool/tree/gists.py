"""Building the gists of a segment with a net that a higher floor provides.

Shape letters: B blocks, N nodes of a level, d width of a gist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD, nodes_in_segment
from mctool.core.errors import MismatchError
from mctool.tree.content import IdArray, IntArray

GistArray = npt.NDArray[np.float16]
BoolArray = npt.NDArray[np.bool_]

LEAF_BATCH = 1024
"""Blocks handed to the builder at once: enough to keep it busy, few enough for a steady progress bar."""


class GistBuilder(Protocol):
    """What turns tokens into gists, and gists into coarser gists."""

    def leaves(self, ids: IdArray, n_tokens: IntArray) -> GistArray:
        """LOD1 gists of blocks: ids uint32 [B, 32] with lengths int64 [B] -> float16 [B, d]."""
        ...

    def parents(self, gists: GistArray, live: BoolArray, lod: int) -> GistArray:
        """Gists of level ``lod`` >= 2 from their children: [N, d] with live [N] -> [ceil(N / 32), d].

        Children that are not live are masked; a parent of which nothing is live is zeros.
        """
        ...


def build_leaves(
    builder: GistBuilder, ids: IdArray, lengths: IntArray, d_model: int, on_blocks: Callable[[int], None]
) -> GistArray:
    """LOD1 gists of all blocks of a segment, shape [B, d].

    Args:
        builder: The net.
        ids: Token ids, shape [B, 32].
        lengths: Tokens of each block, shape [B].
        d_model: Width that the gists must have.
        on_blocks: Called after each batch with its number of blocks.

    Raises:
        MismatchError: The net gives values that cannot be stored.
    """
    gists = np.empty((len(ids), d_model), np.float16)
    for start in range(0, len(ids), LEAF_BATCH):
        batch = slice(start, min(start + LEAF_BATCH, len(ids)))
        built = builder.leaves(ids[batch], lengths[batch])
        gists[batch] = _storable(built, (batch.stop - start, d_model), lod=1)
        on_blocks(batch.stop - start)
    return gists


def build_parents(builder: GistBuilder, leaves: GistArray, live: BoolArray) -> dict[int, GistArray]:
    """LOD2 and up of a segment from its LOD1 gists, with what is not live masked.

    Args:
        builder: The net.
        leaves: LOD1 gists, shape [B, d].
        live: Which blocks are live, shape [B].

    Raises:
        MismatchError: The net gives values that cannot be stored.
    """
    levels: dict[int, GistArray] = {}
    children, alive = leaves, live
    for lod in range(2, TOP_LOD + 1):
        shape = (nodes_in_segment(lod, len(leaves)), leaves.shape[1])
        children = _storable(builder.parents(children, alive, lod), shape, lod)
        levels[lod] = children
        alive = np.logical_or.reduceat(alive, np.arange(0, len(alive), BLOCK_TOKENS))
    return levels


def _storable(gists: npt.NDArray[Any], shape: tuple[int, int], lod: int) -> GistArray:
    if gists.shape != shape:
        raise ValueError(f"expected LOD{lod} gists of shape {shape}, got {gists.shape}")
    if not np.all(np.abs(gists) <= np.finfo(np.float16).max):  # also False for NaN
        raise MismatchError(
            f"GistNet gave LOD{lod} gists that are not finite as 16-bit floats (largest: {np.abs(gists).max()})",
            "use another GistNet, or a tree without gists",
        )
    return gists.astype(np.float16, copy=False)
