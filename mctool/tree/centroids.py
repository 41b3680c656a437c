"""Centroids: what the keys below a LOD2 node have in common, so that most keys need not be read for a question.

A node has one for every four of its blocks, and of each number of it only the sign: all eight together take the bytes
of one key. Measured on a tree of 2.5 million tokens, 60 questions each: the share of the nodes of the 16 best blocks
that is among the best nodes by their centroids, where centroids and keys together are 8 % of the bytes of all keys:

============================  =====  ====
centroids of a node           prose  code
============================  =====  ====
one, int8                     .975   .833
two, int8                     .933   .788
one, its signs                .976   .862
two, their signs              .989   .933
four, their signs             .996   .967
**eight, their signs**        .998   .979
sixteen, their signs          .994   .982
four, 2 bits a number         .994   .965
four, 4 bits a number         .982   .900
============================  =====  ====

Shape letters: B blocks of a segment, M nodes, P parts of a node, D width of a key, W bytes that hold D bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import blocks_per_node, nodes_in_segment

KeyArray = npt.NDArray[np.int8]
ScaleArray = npt.NDArray[np.float16]
SignArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

NODE_LOD = 2
NODE_BLOCKS = blocks_per_node(NODE_LOD)
PARTS = 8
PART_BLOCKS = NODE_BLOCKS // PARTS

_GROUP_BLOCKS = 8192
"""Keys that are widened to float32 at once: 12 MB of them."""


def make_centroids(keys: KeyArray, scale: ScaleArray) -> tuple[SignArray, ScaleArray]:
    """The centroids of the nodes of a segment.

    The signs of a centroid, times its scale, stand for the mean key of its blocks: their product with a question that
    points where the mean does is the mean similarity of the blocks.

    Args:
        keys: Keys of the blocks, shape [B, D].
        scale: Their scales, shape [B].

    Returns:
        Signs, 1 for positive, shape [M, P, W], and scales, 0 for parts without a word, shape [M, P].
    """
    n_nodes, width = nodes_in_segment(NODE_LOD, len(keys)), keys.shape[1]
    signs = np.zeros((n_nodes * PARTS, -(-width // 8)), np.uint8)
    scales = np.zeros(n_nodes * PARTS, np.float16)
    for first in range(0, len(keys), _GROUP_BLOCKS):
        blocks = slice(first, first + _GROUP_BLOCKS)
        vectors = keys[blocks].astype(np.float32) * scale[blocks, None]
        starts = np.arange(0, len(vectors), PART_BLOCKS)
        sizes = np.minimum(starts + PART_BLOCKS, len(vectors)) - starts
        means = np.add.reduceat(vectors, starts) / sizes[:, None]
        here = slice(first // PART_BLOCKS, first // PART_BLOCKS + len(means))
        signs[here] = np.packbits(means > 0, axis=1)
        scales[here] = np.square(means).sum(axis=1) / np.maximum(np.abs(means).sum(axis=1), 1e-6)
    return signs.reshape(n_nodes, PARTS, -1), scales.reshape(n_nodes, PARTS)


def sign_products(signs: SignArray, query: FloatArray) -> FloatArray:
    """Dot product of a question with the signs of centroids, as +1 and -1.

    Eight numbers of the question at a time, what each of the 256 bytes is worth to them is looked up.

    Args:
        signs: Shape [..., W].
        query: Shape [D].

    Returns:
        Shape [...].
    """
    padded = np.zeros((signs.shape[-1], 8), np.float32)
    padded.reshape(-1)[: len(query)] = query
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32)
    worth = padded @ (2 * bits - 1).T
    found = np.zeros(signs.shape[:-1], np.float32)
    for place, table in enumerate(worth):
        found += table[signs[..., place]]
    return found
