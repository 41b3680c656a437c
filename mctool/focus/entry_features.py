"""What LensNet sees of an entry: numbers that say how the question's words and its key agree with a block.

Everything is relative to what the question gets at best in the same tree, so that one net serves trees of all sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mctool.core.evidence import TermHits
from mctool.core.timeline import IntArray, Timeline
from mctool.focus.hybrid_lens import KEY_WEIGHT, key_utilities
from mctool.focus.lens import FloatArray
from mctool.focus.lexical_lens import SATURATION, block_utilities, follow, rarity

Float32Array = npt.NDArray[np.float32]

REACHES = (0, 1, 2, 4, 16)
"""Blocks to each side over which words are counted."""

NAMES = (
    "hybrid", "words", "keys", "similarity", "similarity before", "similarity after", "similarity within 4",
    "similarity within 16", "best similarity of the document", "mean similarity of the document",
    *(f"BM25 within {reach}" for reach in REACHES),
    *(f"coverage within {reach}" for reach in REACHES),
    "coverage of the document", "defined here", "defined just before", "named by the path", "rarest word within 1",
    "rank by words", "rank by keys", "place in the document", "length of the document", "first of the document",
    "words of the question", "unknown words of the question", "best similarity", "spread of similarity",
    "lead of the best by words", "any definition",
)  # fmt: skip
"""Names of the features, in order."""


@dataclass(frozen=True)
class Candidates:
    """The blocks that LensNet looks at, by rank ascending, and what it sees of each.

    Attributes:
        ranks: Ranks of the blocks, shape [n].
        features: Shape [n, len(NAMES)].
    """

    ranks: IntArray
    features: Float32Array


def find_candidates(
    timeline: Timeline,
    hits: Sequence[TermHits],
    similarity: npt.NDArray[np.floating],
    limit: int,
    documents: IntArray | None = None,
) -> Candidates:
    """The blocks for which words and keys speak most, and their features.

    Args:
        timeline: The live timeline.
        hits: The places of the question's terms.
        similarity: Of each live block's key and the question, by rank, shape [total_blocks].
        limit: Most candidates.
        documents: Indices of the live documents to search; None for all.
    """
    words = block_utilities(timeline, hits, documents)
    keys = key_utilities(timeline, similarity, documents)
    hybrid = words + KEY_WEIGHT * keys
    useful = np.flatnonzero(hybrid > 0)
    ranks = np.sort(useful[np.argsort(-hybrid[useful], kind="stable")[:limit]])
    table = np.zeros((len(ranks), len(NAMES)), np.float32)
    if len(ranks):
        of_words = _word_features(timeline, hits, ranks)
        of_keys = _key_features(timeline, similarity.astype(np.float64), ranks)
        mine = {
            "hybrid": hybrid[ranks] / hybrid.max(),
            "words": words[ranks],
            "keys": keys[ranks],
            "rank by words": _nearness(words)[ranks],
            "rank by keys": _nearness(keys)[ranks],
            "lead of the best by words": np.full(len(ranks), _lead(words)),
            **_place_features(timeline, ranks),
            **of_words,
            **of_keys,
        }
        for column, name in enumerate(NAMES):
            table[:, column] = mine[name]
    return Candidates(ranks, table)


def _word_features(timeline: Timeline, hits: Sequence[TermHits], ranks: IntArray) -> dict[str, FloatArray]:
    n = timeline.total_blocks
    document = np.searchsorted(timeline.start_rank, ranks, side="right") - 1
    start, end = timeline.start_rank[document], timeline.start_rank[document + 1]
    ends = np.repeat(timeline.start_rank[1:], timeline.n_blocks)
    known = [term for term in hits if len(term.blocks) or len(term.documents)]
    total = sum(rarity(term, n) for term in known) or 1.0
    rarest = max((rarity(term, n) for term in known), default=1.0)
    zeros = np.zeros(len(ranks))
    bm25 = {reach: zeros.copy() for reach in REACHES}
    coverage = {reach: zeros.copy() for reach in REACHES}
    whole, here, before, path, best = zeros.copy(), zeros.copy(), zeros.copy(), zeros.copy(), zeros.copy()
    for term in known:
        weight = rarity(term, n)
        for reach in REACHES:
            last = np.searchsorted(term.blocks, np.minimum(ranks + reach + 1, end))
            found = last - np.searchsorted(term.blocks, np.maximum(ranks - reach, start))
            bm25[reach] += weight * found * (SATURATION + 1) / (found + SATURATION)
            coverage[reach] += weight * (found > 0)
            if reach == 1:
                best = np.maximum(best, weight * (found > 0))
        whole += weight * (np.searchsorted(term.blocks, end) > np.searchsorted(term.blocks, start))
        here += weight * np.isin(ranks, term.definitions)
        before += weight * follow(term.definitions, ends)[ranks]
        path += weight * np.isin(document, term.documents)
    table = {
        "coverage of the document": whole / total,
        "defined here": here / total,
        "defined just before": before / total,
        "named by the path": path / total,
        "rarest word within 1": best / rarest,
        "words of the question": np.full(len(ranks), np.log1p(len(hits))),
        "unknown words of the question": np.full(len(ranks), 1 - len(known) / max(len(hits), 1)),
        "any definition": np.full(len(ranks), float(any(len(term.definitions) for term in hits))),
    }
    for reach in REACHES:
        highest = float(bm25[reach].max())
        table[f"BM25 within {reach}"] = bm25[reach] / highest if highest > 0 else bm25[reach]
        table[f"coverage within {reach}"] = coverage[reach] / total
    return table


def _key_features(timeline: Timeline, similarity: FloatArray, ranks: IntArray) -> dict[str, FloatArray]:
    mean, best = float(similarity.mean()), float(similarity.max())
    relative = (similarity - mean) / max(best - mean, 1e-6)
    document = np.searchsorted(timeline.start_rank, ranks, side="right") - 1
    start, end = timeline.start_rank[document], timeline.start_rank[document + 1]
    of_document = np.maximum.reduceat(relative, timeline.start_rank[:-1])
    sums = np.concatenate([[0.0], np.cumsum(relative)])
    near = [np.clip(ranks + step, start, end - 1) for step in range(-4, 5)]
    low, high = np.maximum(ranks - 16, start), np.minimum(ranks + 17, end)
    return {
        "similarity": relative[ranks],
        "similarity before": relative[near[3]],
        "similarity after": relative[near[5]],
        "similarity within 4": np.max([relative[places] for places in near], axis=0),
        "similarity within 16": (sums[high] - sums[low]) / (high - low),
        "best similarity of the document": of_document[document],
        "mean similarity of the document": (sums[end] - sums[start]) / (end - start),
        "best similarity": np.full(len(ranks), best),
        "spread of similarity": np.full(len(ranks), best - mean),
    }


def _place_features(timeline: Timeline, ranks: IntArray) -> dict[str, FloatArray]:
    document = np.searchsorted(timeline.start_rank, ranks, side="right") - 1
    start, length = timeline.start_rank[document], timeline.n_blocks[document]
    return {
        "place in the document": (ranks - start) / length,
        "length of the document": np.log1p(length) / 10,
        "first of the document": (ranks == start).astype(np.float64),
    }


def _nearness(utility: FloatArray) -> FloatArray:
    """1 for the best block, falling with the logarithm of its place among all; 0 for what has no utility."""
    place = np.empty(len(utility))
    place[np.argsort(-utility, kind="stable")] = np.arange(len(utility))
    near: FloatArray = np.where(utility > 0, 1 / (1 + np.log1p(place)), 0.0)
    return near


def _lead(utility: FloatArray) -> float:
    """By how much the best block is ahead of the tenth, in parts of the best."""
    if len(utility) < 10:
        return 0.0
    tenth, best = np.partition(utility, -10)[-10], utility.max()
    return float((best - tenth) / best) if best > 0 else 0.0
