"""The lexical lens: BM25 of blocks in their neighbourhood.

A block of 32 tokens is too short to hold all terms of a question, so BM25 is summed over windows of 0, +-1, +-2 and
+-4 blocks around it, within its document. A term that stands in a line that defines a symbol counts more, for that
block and the two after it: a function is found by its name and parameters, and its body follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mctool.core.evidence import TermHits
from mctool.core.timeline import IntArray, Timeline
from mctool.focus.lens import FloatArray, UtilityLens

WINDOWS = (0, 1, 2, 4)
"""Blocks to each side."""

DEFINITION_WEIGHT = 4.0
DEFINITION_REACH = 3
PATH_WEIGHT = 0.5
SATURATION = 0.6
"""k1 of BM25, which counts blocks here, not words. Windows hold about the same number of terms everywhere, so lengths
are not normalised (b = 0)."""


def lexical_lens(timeline: Timeline, hits: Sequence[TermHits], documents: IntArray | None = None) -> UtilityLens:
    """The lexical lens for one question.

    Args:
        timeline: The live timeline.
        hits: The places of the question's terms.
        documents: Indices of the live documents to search; None for all.
    """
    return UtilityLens("lexical", timeline, block_utilities(timeline, hits, documents))


def block_utilities(timeline: Timeline, hits: Sequence[TermHits], documents: IntArray | None = None) -> FloatArray:
    """Utility of each live block, scaled so that the best has 1; all 0 when no term is found. Shape [total_blocks].

    Source: BM25 (Robertson & Zaragoza 2009), term frequencies counted in blocks of a window instead of words.
    """
    n = timeline.total_blocks
    total = np.zeros(n)
    if not n:
        return total
    rank = np.arange(n)
    start = np.repeat(timeline.start_rank[:-1], timeline.n_blocks)
    end = np.repeat(timeline.start_rank[1:], timeline.n_blocks)
    for term in hits:
        weight = rarity(term, n)
        present = np.zeros(n + 1)
        present[term.blocks + 1] = 1
        before = np.cumsum(present)
        for reach in WINDOWS:
            found = before[np.minimum(rank + reach + 1, end)] - before[np.maximum(rank - reach, start)]
            total += weight * found * (SATURATION + 1) / (found + SATURATION)
        total += weight * DEFINITION_WEIGHT * follow(term.definitions, end)
        if len(term.documents):
            total += weight * PATH_WEIGHT * np.isin(timeline.document_of(timeline.blocks_at(rank)), term.documents)
    if documents is not None:
        total *= np.isin(timeline.document_of(timeline.blocks_at(rank)), documents)
    best = float(total.max())
    return total / best if best > 0 else total


def shown_share(timeline: Timeline, hits: Sequence[TermHits], ranks: IntArray) -> float:
    """Share of the terms of a question, each by its rarity, that blocks hold in their text or path.

    A term that stands nowhere counts as much as the rarest one that does, for its rarity is unknown. 0 without terms.

    Args:
        timeline: The live timeline.
        hits: The places of the question's terms.
        ranks: Ranks of the blocks.
    """
    known = [term for term in hits if len(term.blocks) or len(term.documents)]
    if not known:
        return 0.0
    rarest = max(rarity(term, timeline.total_blocks) for term in known)
    documents = timeline.document_of(timeline.blocks_at(ranks))
    shown = sum(
        rarity(term, timeline.total_blocks)
        for term in known
        if np.isin(term.blocks, ranks).any() or np.isin(term.documents, documents).any()
    )
    total = sum(rarity(term, timeline.total_blocks) for term in known) + rarest * (len(hits) - len(known))
    return shown / total


def rarity(term: TermHits, n_blocks: int) -> float:
    """Inverse document frequency, the documents being blocks."""
    count = len(term.blocks)
    return float(np.log1p((n_blocks - count + 0.5) / (count + 0.5)))


def follow(ranks: IntArray, end: IntArray) -> FloatArray:
    """1 for the blocks at ``ranks`` and the next ones of the same document, else 0."""
    marked = np.zeros(len(end))
    for step in range(DEFINITION_REACH):
        place = ranks + step
        inside = place < end[ranks]
        marked[place[inside]] = 1
    return marked
