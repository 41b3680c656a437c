"""Learning when to refuse: from answers that were measured, whether a window holds an answer.

Logistic regression over what the reader and the lens tell, questions with and without an answer weighed alike; then the
bias is set so that no more than a given share of the questions with an answer is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mctool.core.errors import UsageError
from mctool.core.evidence import Evidence
from mctool.nets.adapter_card import SupportRule

FEWEST = 20
"""Questions with an answer, and without, that a rule is learned from at least."""

_PRIOR = 0.01


@dataclass(frozen=True)
class Judgement:
    """One question: the reader's log odds of silence, what the lens found, and whether the text held an answer."""

    silence: float
    evidence: Evidence
    answerable: bool


@dataclass(frozen=True)
class FittedRule:
    """A rule, and what it does to the questions it was learned from: the shares refused rightly and wrongly."""

    rule: SupportRule
    refused: float
    false_refused: float


def fit_support(judgements: Sequence[Judgement], false_refusals: float) -> FittedRule:
    """Learn a rule.

    Args:
        judgements: Of one kind of reading.
        false_refusals: Largest share of the questions with an answer that may be refused.

    Raises:
        UsageError: There are too few questions of either kind.
    """
    answerable = torch.tensor([one.answerable for one in judgements])
    if min(int(answerable.sum()), int((~answerable).sum())) < FEWEST:
        raise UsageError(
            f"{int(answerable.sum())} questions with an answer and {int((~answerable).sum())} without are too few",
            f"measure {FEWEST} or more of each: --questions, --unanswerable",
        )
    seen = torch.tensor(
        [[one.silence, one.evidence.share, one.evidence.similarity] for one in judgements], dtype=torch.float64
    )
    weights = _regress(seen, answerable)
    odds = seen @ weights
    held = odds[answerable].sort().values
    bias = -float(held[math.floor(false_refusals * len(held))]) + 1e-3  # more than what rounding takes
    return FittedRule(
        SupportRule(*(round(float(weight), 4) for weight in weights), bias=round(bias, 4)),
        refused=float((odds[~answerable] + bias < 0).double().mean()),
        false_refused=float((odds[answerable] + bias < 0).double().mean()),
    )


def _regress(seen: Tensor, answerable: Tensor) -> Tensor:
    """Weights of each column of ``seen``, shape [n, 3] -> [3], with a weak pull of the standardised ones to 0."""
    mean, spread = seen.mean(0), seen.std(0).clamp_min(1e-6)
    columns = torch.cat([(seen - mean) / spread, torch.ones(len(seen), 1, dtype=torch.float64)], 1)
    target = answerable.double()
    weight = torch.where(answerable, 0.5 / target.mean(), 0.5 / (1 - target.mean()))
    found = torch.zeros(columns.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([found], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        nats = torch.nn.functional.binary_cross_entropy_with_logits(columns @ found, target, weight)
        total: Tensor = nats + _PRIOR * (found[:-1] ** 2).sum()
        total.backward()
        return total

    optimizer.step(loss)
    return found.detach()[:-1] / spread
