"""The hybrid lens: where the words of a question stand, and where the text is about the same thing.

Lexical utilities find names and rare words; lens keys find what is said in other words. Both are divided by what the
question gets at best, so that a sum weighs them the same way for every question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mctool.core.evidence import TermHits
from mctool.core.timeline import IntArray, Timeline
from mctool.focus.lens import FloatArray, UtilityLens
from mctool.focus.lexical_lens import block_utilities

KEY_WEIGHT = 1.0
"""What the block with the best key counts, where the best one by its words counts 1.

Chosen on training documents. Recall on documents kept apart (trees of 125,000 to 145,000 tokens, n = 960 and 229):

==================  =====  =====  =====  =====  =====
raw tokens            128    256    512   1024   2048
==================  =====  =====  =====  =====  =====
prose, words alone   .745   .829   .884   .930   .954
prose, both          .789   .876   .934   .970   .986
code, words alone    .450   .555   .629   .725   .808
code, both           .541   .655   .747   .830   .891
==================  =====  =====  =====  =====  =====
"""

BESIDE = 0.5
"""What the blocks on both sides count when a key is compared, where the block itself counts 1: an answer often stands
beside what the question resembles."""


def hybrid_lens(
    timeline: Timeline,
    hits: Sequence[TermHits],
    similarity: npt.NDArray[np.floating],
    documents: IntArray | None = None,
) -> UtilityLens:
    """The hybrid lens for one question.

    Args:
        timeline: The live timeline.
        hits: The places of the question's terms.
        similarity: Of each live block's key and the question, by rank, shape [total_blocks].
        documents: Indices of the live documents to search; None for all.

    Raises:
        ValueError: ``similarity`` has another shape.
    """
    utility = block_utilities(timeline, hits, documents) + KEY_WEIGHT * key_utilities(timeline, similarity, documents)
    best = float(utility.max(initial=0.0))
    return UtilityLens("hybrid", timeline, utility / best if best > 0 else utility)


def key_lens(
    timeline: Timeline, similarity: npt.NDArray[np.floating], documents: IntArray | None = None
) -> UtilityLens:
    """The learned lens, which knows keys alone; arguments as for :func:`hybrid_lens`."""
    return UtilityLens("learned", timeline, key_utilities(timeline, similarity, documents))


def key_utilities(
    timeline: Timeline, similarity: npt.NDArray[np.floating], documents: IntArray | None = None
) -> FloatArray:
    """Utility of each live block by its key: 1 for the best, 0 for the average and below. Shape [total_blocks].

    All are 0 when no block stands out, as with a question without a word. Arguments and what is raised are those of
    :func:`hybrid_lens`.
    """
    if similarity.shape != (timeline.total_blocks,):
        raise ValueError(f"similarity has shape {similarity.shape}; expected [{timeline.total_blocks}]")
    smooth = _with_neighbours(timeline, similarity.astype(np.float64))
    searched = np.ones(len(smooth), np.bool_)
    if documents is not None:
        searched = np.isin(timeline.document_of(timeline.blocks_at(np.arange(len(smooth)))), documents)
    if not searched.any():
        return np.zeros(len(smooth))
    mean, best = float(smooth[searched].mean()), float(smooth[searched].max())
    if best - mean <= 1e-6 * max(abs(best), 1e-6):
        return np.zeros(len(smooth))
    utility: FloatArray = np.where(searched, np.clip((smooth - mean) / (best - mean), 0.0, 1.0), 0.0)
    return utility


def _with_neighbours(timeline: Timeline, similarity: FloatArray) -> FloatArray:
    """Weighted mean of each block and those on both sides; a block at the end of its document stands in for both."""
    before, after = np.roll(similarity, 1), np.roll(similarity, -1)
    first, last = timeline.start_rank[:-1], timeline.start_rank[1:] - 1
    before[first], after[last] = similarity[first], similarity[last]
    smooth: FloatArray = (similarity + BESIDE * (before + after)) / (1 + 2 * BESIDE)
    return smooth
