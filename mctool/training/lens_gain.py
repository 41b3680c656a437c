"""What LensNet learns from measured gains (:mod:`mctool.training.lens_labels`), and how well it has learnt it.

Three losses: the scores are to have the order of the gains (pairwise logistic, Burges et al. 2005, RankNet); the gains
that the net tells are to be the measured ones; and no more entries should be told to be worth something than a window
holds. There is no penalty for what is not legal: the net sees raw blocks alone, and plans are legal by construction.

Shape letters: B questions, N entries, n candidates of a question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.config import FocusConfig
from mctool.focus.lens import FloatArray
from mctool.training.lens_rows import LensRow

MARGIN = 0.5
"""Nats: gains that differ by less are taken for equal, those nearer to 0 for neither positive nor negative."""

WINDOW_BLOCKS = FocusConfig().narrow_tokens / BLOCK_TOKENS


def gain_losses(
    rows: Sequence[LensRow], scores: Float[Tensor, "B N"], gains: Float[Tensor, "B N"] | None
) -> dict[str, Float[Tensor, ""]]:
    """The losses ``rank``, ``regress`` and ``budget`` for rows with labels.

    Args:
        rows: With a gain for some of their candidates.
        scores: Of the candidates.
        gains: That the net tells, in nats.

    Raises:
        ValueError: The net tells no gains, or a row has none.
    """
    if gains is None:
        raise ValueError("this LensNet does not tell gains")
    rank, regress, budget = [scores.sum() * 0], [scores.sum() * 0], []
    for row, score, told in zip(rows, scores, gains, strict=True):
        known, measured = _labels(row)
        places = torch.from_numpy(known)
        truth = torch.from_numpy(measured).to(score.dtype)
        better = truth[:, None] - truth[None, :] > MARGIN
        if better.any():
            ahead = score[places][:, None] - score[places][None, :]
            rank.append(functional.softplus(-ahead[better]).mean())
        if len(places):
            regress.append(functional.huber_loss(told[places], truth))
        n_worth = torch.sigmoid(told[: len(row.answer)] / MARGIN).sum()
        budget.append(functional.relu(torch.log(n_worth / WINDOW_BLOCKS)) ** 2)
    return {name: torch.stack(values).sum() / len(rows) for name, values in
            (("rank", rank), ("regress", regress), ("budget", budget))}  # fmt: skip


def rank_correlation(rows: Sequence[LensRow], scores: Sequence[FloatArray]) -> float:
    """Spearman's correlation of scores with measured gains, the mean over questions; NaN without any to compare.

    Args:
        rows: With a gain for some of their candidates.
        scores: Of the candidates of each, shape [n].
    """
    found = []
    for row, score in zip(rows, scores, strict=True):
        known, gain = _labels(row)
        ranks = np.stack([_ranks(score[known]), _ranks(gain)]) if len(known) else np.zeros((2, 1))
        if (ranks.std(1) > 0).all():
            found.append(np.corrcoef(*ranks).item(0, 1))
    return float(np.mean(found)) if found else float("nan")


def signs_told(rows: Sequence[LensRow], gains: Sequence[FloatArray]) -> tuple[float, float]:
    """Shares of the entries with a negative and with a positive gain whose gain is told to be that.

    Args:
        rows: With a gain for some of their candidates.
        gains: That the net tells of the candidates of each, shape [n].
    """
    labels = [_labels(row) for row in rows]
    measured = np.concatenate([gain for _, gain in labels])
    told = np.concatenate([mine[known] for mine, (known, _) in zip(gains, labels, strict=True)])
    negative, positive = measured < -MARGIN, measured > MARGIN
    return (
        float((told[negative] < 0).mean()) if negative.any() else float("nan"),
        float((told[positive] > 0).mean()) if positive.any() else float("nan"),
    )


def _labels(row: LensRow) -> tuple[np.ndarray, FloatArray]:
    """Places of the candidates that were measured, and their gains."""
    if row.gain is None:
        raise ValueError("a row has no labels")
    known = np.flatnonzero(~np.isnan(row.gain))
    return known, row.gain[known].astype(np.float64)


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0, equal values sharing theirs. Shape: [n]."""
    one, other = values[:, None], values[None]
    below: FloatArray = (one > other).sum(1) + (one == other).sum(1) / 2
    return below
