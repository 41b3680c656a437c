"""What a lens is: something that scores the entries of a working context for one question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mctool.core.timeline import IntArray, Timeline
from mctool.focus.working_context import WorkingContext

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Aim:
    """What the working context should become.

    Attributes:
        raw_tokens: Most tokens that raw text should take.
        share: Only blocks with at least this share of the best block's utility should be raw.
    """

    raw_tokens: int
    share: float = 0.0


class Lens(Protocol):
    """Scores entries. Positive = expand (or keep raw), negative = collapse; magnitudes within [-1, 1]."""

    name: str

    def score(self, context: WorkingContext, aim: Aim) -> FloatArray:
        """Signed focus score of each entry, shape [n]."""
        ...


class UtilityLens:
    """A lens that knows the utility of every block beforehand.

    A block is *wanted* when it is among the best that fit the aim. Wanted blocks score from .2 to 1, the others from
    -1 to -.2, each by its utility; a gist scores as the best block below it, so that refocusing comes to rest.

    Args:
        name: What records show.
        timeline: The live timeline.
        utility: Utility of each live block by rank, from 0 (nothing speaks for it) to 1, shape [total_blocks].
    """

    def __init__(self, name: str, timeline: Timeline, utility: FloatArray) -> None:
        if utility.shape != (timeline.total_blocks,):
            raise ValueError(f"utility has shape {utility.shape}; expected [{timeline.total_blocks}]")
        self.name = name
        self.utility = utility
        self._timeline = timeline
        self._aim: Aim | None = None
        self._block_scores: FloatArray = np.zeros(0)

    def score(self, context: WorkingContext, aim: Aim) -> FloatArray:
        """Signed focus score of each entry, shape [n]."""
        if aim != self._aim:  # one aim holds for many contexts
            self._block_scores, self._aim = self._score_blocks(aim), aim
        if not len(context):
            return np.zeros(0)
        n_blocks = self._timeline.live_blocks_of(context.lod, context.index)
        highest: FloatArray = np.maximum.reduceat(self._block_scores, np.cumsum(n_blocks) - n_blocks)
        return highest

    def _score_blocks(self, aim: Aim) -> FloatArray:
        """Score of each live block by rank, shape [total_blocks]."""
        scores: FloatArray = -1.0 + 0.8 * self.utility
        wanted = self.wanted(aim)
        scores[wanted] = 0.2 + 0.8 * self.utility[wanted]
        return scores

    def wanted(self, aim: Aim) -> IntArray:
        """Ranks of the blocks that should be raw, the best first."""
        useful = np.flatnonzero(self.utility > max(aim.share * float(self.utility.max(initial=0.0)), 0.0))
        if len(useful) > aim.raw_tokens:  # each holds a token at least, so the others cannot be among them
            least = np.partition(self.utility[useful], -aim.raw_tokens)[-aim.raw_tokens]
            useful = useful[self.utility[useful] >= least]
        order = useful[np.argsort(-self.utility[useful], kind="stable")]
        blocks = self._timeline.blocks_at(order)
        lengths = self._timeline.token_start(blocks + 1) - self._timeline.token_start(blocks)
        return order[np.cumsum(lengths) <= aim.raw_tokens]
