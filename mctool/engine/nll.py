"""Negative log-likelihood of a continuation, and means of paired measurements with their standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from mctool.core.errors import BudgetTooSmallError

if TYPE_CHECKING:
    from torch import Tensor

    from mctool.core.timeline import IntArray
    from mctool.nets.base_model import BaseModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean or a ratio of means over windows, and its standard error (None for fewer than two windows)."""

    value: float
    se: float | None
    n: int


@torch.inference_mode()
def continuation_nll(model: BaseModel, embeddings: Tensor, positions: IntArray, target_ids: IntArray) -> FloatArray:
    """How badly the base model predicts each next token after a window.

    Args:
        model: The reader.
        embeddings: What the window shows, raw tokens and gists. Shape: [n, D], n >= 1.
        positions: Rotary positions of the window's slots; the targets go on from the last in steps of 1. Shape: [n].
        target_ids: The tokens that follow the window. Shape: [m], m >= 1.

    Returns:
        Nats per target token. Shape: [m].

    Raises:
        BudgetTooSmallError: The targets would pass the positions that the model was trained with.
    """
    needed = int(positions[-1]) + 1 + len(target_ids)
    if needed > model.trained_positions:
        raise BudgetTooSmallError(
            f"the window and its continuation need {needed} positions and {model.name} was trained with "
            f"{model.trained_positions}",
            "measure fewer or shorter windows",
        )
    nll: FloatArray = -model.log_likelihood(embeddings, positions, target_ids).double().cpu().numpy()
    return nll


def mean_estimate(values: FloatArray) -> Estimate:
    """Mean over windows. For a paired difference, give the differences. Shape: values [n], n >= 1."""
    n = len(values)
    se = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None
    return Estimate(float(values.mean()), se, n)


def ratio_estimate(numerator: FloatArray, denominator: FloatArray) -> Estimate | None:
    """Mean of the numerators over the mean of the denominators, paired by window; the error by the delta method.

    Args:
        numerator: Shape: [n].
        denominator: Shape: [n].

    Returns:
        None when there are no windows, or their mean denominator is not positive and the ratio means nothing.
    """
    n = len(numerator)
    if not n or (scale := float(denominator.mean())) <= 0:
        return None
    ratio = float(numerator.mean()) / scale
    residual = numerator - ratio * denominator
    se = float(residual.std(ddof=1) / np.sqrt(n) / scale) if n > 1 else None
    return Estimate(ratio, se, n)
