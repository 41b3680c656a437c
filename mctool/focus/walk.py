"""The walk: which LOD2 nodes of a large tree are looked into, by their centroids and by the question's words.

A coarse look at every node, then a close one at few: what the glossary calls staging. Shape letters: M nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.evidence import TermHits
from mctool.core.timeline import IntArray, Timeline
from mctool.focus.lens import FloatArray
from mctool.focus.lexical_lens import DEFINITION_WEIGHT, SATURATION, rarity

BoolArray = npt.NDArray[np.bool_]

READ_SHARE = 0.08
"""Most of the keys that are read for a question, and the centroids, which take the bytes of one key of 32."""

WORD_SHARE = 0.5
"""The part of the nodes looked into that words choose."""


def plan_walk(
    timeline: Timeline,
    hits: Sequence[TermHits],
    nodes: IntArray,
    similarity: npt.NDArray[np.floating],
    documents: IntArray | None = None,
    share: float = READ_SHARE,
) -> BoolArray:
    """Choose the nodes whose keys are to be read.

    Args:
        timeline: The live timeline.
        hits: The places of the question's terms; where there are none, centroids choose alone.
        nodes: Indices of LOD2 nodes, ascending, shape [M].
        similarity: Of the question and each node's nearest centroid, shape [M].
        documents: Indices of the live documents to search, whose nodes alone are chosen; None for all.
        share: Most of the keys that are read, centroids among them.

    Returns:
        Which nodes to look into, shape [M].
    """
    left = int(len(nodes) * max(share - 1 / BLOCK_TOKENS, 0.0))
    allowed = np.ones(len(nodes), np.bool_) if documents is None else _nodes_of(timeline, nodes, documents)
    opened = np.zeros(len(nodes), np.bool_)
    words = np.where(allowed, node_words(timeline, hits, nodes), 0.0)
    opened[_best(words, min(round(left * WORD_SHARE), int(np.count_nonzero(words))))] = True
    rest = np.where(allowed & ~opened, similarity.astype(np.float64), -np.inf)
    n_rest = min(left - int(opened.sum()), int(np.isfinite(rest).sum()))
    opened[_best(rest, n_rest)] = True
    return opened


def node_words(timeline: Timeline, hits: Sequence[TermHits], nodes: IntArray) -> FloatArray:
    """What the words of a question say of each node: BM25, its blocks being counted; 0 without a word. Shape [M].

    Work is by the hit and by the node, not by the block.
    """
    total = np.zeros(len(nodes))
    for term in hits:
        weight = rarity(term, timeline.total_blocks)
        found = _count(timeline, term.blocks, nodes)
        total += weight * found * (SATURATION + 1) / (found + SATURATION)
        total += weight * DEFINITION_WEIGHT * (_count(timeline, term.definitions, nodes) > 0)
    return total


def _count(timeline: Timeline, ranks: IntArray, nodes: IntArray) -> IntArray:
    """How many of some blocks each node holds, shape [M]; blocks of other nodes are left out."""
    wanted = timeline.blocks_at(ranks) // BLOCK_TOKENS
    place = np.searchsorted(nodes, wanted)
    known = place[np.isin(wanted, nodes)]
    counts: IntArray = np.bincount(known, minlength=len(nodes))
    return counts


def _nodes_of(timeline: Timeline, nodes: IntArray, documents: IntArray) -> BoolArray:
    """Whether a node holds a block of one of some documents, shape [M]."""
    first = timeline.first_block[documents] // BLOCK_TOKENS
    last = (timeline.end_block[documents] - 1) // BLOCK_TOKENS
    begun = np.bincount(np.searchsorted(nodes, first), minlength=len(nodes) + 1)
    ended = np.bincount(np.searchsorted(nodes, last, side="right"), minlength=len(nodes) + 1)
    inside: BoolArray = np.cumsum(begun - ended)[: len(nodes)] > 0
    return inside


def _best(values: FloatArray, n: int) -> IntArray:
    """Places of the ``n`` largest values; of equal ones, the earlier."""
    return np.argsort(-values, kind="stable")[:n]
