"""Centroids: what the keys of the 32 blocks below a LOD2 node have in common, so that most keys need not be read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import blocks_per_node, nodes_in_segment

KeyArray = npt.NDArray[np.int8]
ScaleArray = npt.NDArray[np.float16]

NODE_LOD = 2
NODE_BLOCKS = blocks_per_node(NODE_LOD)

_GROUP_NODES = 256
"""Nodes whose keys are widened to float32 at once: 12 MB of them."""


def make_centroids(keys: KeyArray, scale: ScaleArray) -> tuple[KeyArray, ScaleArray]:
    """The mean key of each LOD2 node of a segment.

    It is not normalised: its product with a question is the mean similarity of the blocks.

    Args:
        keys: Keys of the blocks, shape [B, D].
        scale: Their scales, shape [B].

    Returns:
        Centroids, shape [ceil(B / 32), D], and what each is to be multiplied with.
    """
    n_nodes, width = nodes_in_segment(NODE_LOD, len(keys)), keys.shape[1]
    centroids, scales = np.zeros((n_nodes, width), np.int8), np.zeros(n_nodes, np.float16)
    for first in range(0, n_nodes, _GROUP_NODES):
        part = slice(first * NODE_BLOCKS, (first + _GROUP_NODES) * NODE_BLOCKS)
        vectors = keys[part].astype(np.float32) * scale[part, None]
        starts = np.arange(0, len(vectors), NODE_BLOCKS)
        sizes = np.diff([*starts.tolist(), len(vectors)])
        means = np.add.reduceat(vectors, starts) / sizes[:, None]
        here = slice(first, first + len(means))
        # A scale that was rounded down would make the largest number 128.
        scales[here] = (np.abs(means).max(axis=1, initial=0.0) / 127).astype(np.float16)
        wide = np.maximum(scales[here].astype(np.float32), np.finfo(np.float16).smallest_subnormal)
        centroids[here] = np.clip(np.rint(means / wide[:, None]), -127, 127).astype(np.int8)
    return centroids, scales
