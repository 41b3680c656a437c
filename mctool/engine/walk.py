"""Scoring the blocks of a tree by their keys: every block of a small tree, those of promising nodes of a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.evidence import TermHits
from mctool.core.timeline import IntArray, Timeline
from mctool.focus.walk import plan_walk
from mctool.tree import TreeKeys
from mctool.tree.centroids import NODE_LOD, FloatArray


@dataclass(frozen=True)
class KeyScores:
    """What keys say of a question.

    Attributes:
        similarity: Of each live block, by rank, shape [total_blocks]. Those that were not looked at have what their
            centroid lets expect: about the mean of four, so that the mean of all is kept and none stands out.
        share: Share of the LOD2 nodes that was read: those looked into, and the centroids, one block of 32 of each.
    """

    similarity: FloatArray
    share: float


def score_flat(keys: TreeKeys, query: FloatArray) -> KeyScores:
    """Compare a question with the key of every block; raises TreeDamagedError when they cannot be read."""
    return KeyScores(keys.scores(query), 1.0)


def score_by_walk(
    keys: TreeKeys, timeline: Timeline, query: FloatArray, hits: Sequence[TermHits], documents: IntArray | None = None
) -> KeyScores:
    """Compare a question with the centroids, then with the keys of the nodes that they and the words speak for.

    Segments without centroids are compared whole.

    Args:
        keys: The keys of the tree.
        timeline: Its live timeline.
        query: The vector of the question, shape [D].
        hits: The places of the question's terms.
        documents: Indices of the live documents to search; None for all.

    Raises:
        TreeDamagedError: Keys or centroids cannot be read.
    """
    found = keys.node_scores(query)
    n_all = timeline.n_nodes(NODE_LOD)
    if not len(found.nodes):
        return score_flat(keys, query)
    opened = plan_walk(timeline, hits, found.nodes, found.best, documents)
    similarity = keys.scores_within(query, opened, found.expected)
    n_read = n_all - len(found.nodes) + int(opened.sum()) + len(found.nodes) / BLOCK_TOKENS
    return KeyScores(similarity, n_read / n_all)
