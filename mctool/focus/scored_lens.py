"""The hybrid lens where LensNet weighs what words and keys say."""

from __future__ import annotations

import numpy as np

from mctool.core.timeline import Timeline
from mctool.focus.entry_features import Candidates
from mctool.focus.lens import FloatArray, UtilityLens

CANDIDATES = 512
"""Most blocks that LensNet looks at for a question; the answer is among them in 98 of 100 questions of the training
data, and the whole window at its widest shows 32 or so."""

SOFTNESS = 4.0
"""A block whose log odds are so much below those of the best has 1/e of its utility."""


def scored_lens(timeline: Timeline, candidates: Candidates, scores: FloatArray) -> UtilityLens:
    """A lens that goes by LensNet's scores.

    Args:
        timeline: The live timeline.
        candidates: The blocks that words or keys speak for; all others have no utility.
        scores: LensNet's score of each, shape [n].
    """
    utility = np.zeros(timeline.total_blocks)
    utility[candidates.ranks] = np.exp((scores - scores.max(initial=-np.inf)) / SOFTNESS)
    return UtilityLens("hybrid", timeline, utility)
