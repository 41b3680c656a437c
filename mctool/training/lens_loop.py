"""Training LensNet: the blocks that hold an answer are to stand before all others that words or keys speak for.

The loss is listwise: for each block of an answer that must be shown whole, the negative log-likelihood of its being
picked before the other blocks; where one block of an answer is enough, that of any of them being picked first.
Source: Cao et al. 2007, ListNet, top one.

Where there are rows with measured gains, the run has a second stage, in which the net learns from them as well
(:mod:`mctool.training.lens_gain`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mctool.core.errors import UsageError
from mctool.focus.entry_features import NAMES
from mctool.focus.lens import FloatArray
from mctool.nets.lens_net import LensNet, LensNetConfig
from mctool.training.lens_gain import gain_losses
from mctool.training.lens_rows import LensRow, recall
from mctool.training.schedule import part_done, rate_share

RECALL_TOKENS = (128, 256, 512, 1024)
_NEVER = -1e4


@dataclass(frozen=True)
class LensTraining:
    """How LensNet is trained.

    Attributes:
        minutes: Time of the run; 0 goes by ``steps`` alone.
        steps: Steps of the run; 0 goes by ``minutes`` alone.
        learning_rate: Highest rate of AdamW.
        warmup: Part of the run until that.
        batch: Questions of a batch.
        weight_decay: Of AdamW.
        clip: Largest norm of a gradient.
        code_weight: How often a question about code is drawn, where one about prose is drawn once.
        seed: Seed of the first weights and of all draws.
        net: Shape of the net; with labels, it tells gains, too.
        labels_from: Part of the run after which labels are learnt from.
        labelled_batch: Questions with labels of a batch.
        rank: Weight of the order of measured gains.
        regress: Weight of the gains that are told.
        budget: Weight of the number of entries that are told to be worth something.
    """

    minutes: float = 0.0
    steps: int = 0
    learning_rate: float = 2e-3
    warmup: float = 0.05
    batch: int = 16
    weight_decay: float = 0.01
    clip: float = 1.0
    code_weight: float = 2.0
    seed: int = 0
    net: LensNetConfig = field(default_factory=lambda: LensNetConfig(len(NAMES)))
    labels_from: float = 0.3
    labelled_batch: int = 8
    rank: float = 1.0
    regress: float = 0.3
    budget: float = 0.02

    def __post_init__(self) -> None:
        if not (self.minutes > 0 or self.steps > 0):
            raise UsageError("the run has no end", "give --minutes or --steps")
        if not self.learning_rate > 0:
            raise UsageError(f"--learning-rate {self.learning_rate} is not positive")
        if self.batch < 1:
            raise UsageError(f"a batch of {self.batch} questions is not positive")


def train_lens_net(
    config: LensTraining,
    rows: Sequence[LensRow],
    report: Callable[[dict[str, Any]], None] = lambda _metrics: None,
    labelled: Sequence[LensRow] = (),
) -> LensNet:
    """Train a net.

    Args:
        config: How.
        rows: On what; questions of which no candidate holds the answer are left out.
        report: Takes the metrics of each step.
        labelled: Rows with gains for the second stage; without, the first is all.

    Raises:
        UsageError: There is nothing to train on.
    """
    rows = [row for row in rows if row.answer.any()]
    if not rows:
        raise UsageError("there is nothing to train on", "give data with located questions")
    torch.manual_seed(config.seed)
    rng, label_rng = np.random.default_rng(config.seed), np.random.default_rng([config.seed, 1])
    net = LensNet(replace(config.net, tells_gain=bool(labelled)))
    _fit_scale(net, rows)
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    share = np.array([config.code_weight if row.any_block else 1.0 for row in rows])
    share /= share.sum()
    started, step = time.monotonic(), 0
    while (done := part_done(config, step, time.monotonic() - started)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_share(done, config.warmup)
        drawn = [rows[place] for place in rng.choice(len(rows), config.batch, p=share)]
        loss = listwise(drawn, net(*stack(drawn)))
        losses = {"loss": loss}
        if labelled and done >= config.labels_from:
            drawn = [labelled[place] for place in label_rng.choice(len(labelled), config.labelled_batch)]
            losses |= gain_losses(drawn, *net.judge(*stack(drawn)))
            loss = loss + config.rank * losses["rank"] + config.regress * losses["regress"]
            loss = loss + config.budget * losses["budget"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.clip)
        optimizer.step()
        step += 1
        told = {name: float(value.detach()) for name, value in losses.items()}
        report({"step": step, "seconds": round(time.monotonic() - started, 1), **told})
    return net.eval().requires_grad_(False)


def stack(rows: Sequence[LensRow]) -> tuple[Float[Tensor, "B N F"], Bool[Tensor, "B N"]]:
    """The features of rows as one batch, and which places of it are only filled up."""
    width = max(len(row.answer) for row in rows)
    features = torch.zeros(len(rows), width, len(NAMES))
    absent = torch.ones(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        features[number, : len(row.answer)] = torch.from_numpy(row.features.astype(np.float32))
        absent[number, : len(row.answer)] = False
    return features, absent


def listwise(rows: Sequence[LensRow], scores: Float[Tensor, "B N"]) -> Float[Tensor, ""]:
    """The loss of scores for rows, each with a block of its answer among the candidates."""
    losses = []
    for row, score in zip(rows, scores, strict=True):
        mine, answer = score[: len(row.answer)], torch.from_numpy(row.answer)
        others = torch.logsumexp(mine.masked_fill(answer, _NEVER), 0)
        if row.any_block:
            losses.append(torch.logsumexp(mine, 0) - torch.logsumexp(mine[answer], 0))
        else:
            losses.append((torch.logaddexp(mine[answer], others) - mine[answer]).mean())
    return torch.stack(losses).mean()


@torch.inference_mode()
def judged(net: LensNet, rows: Sequence[LensRow]) -> list[tuple[FloatArray, FloatArray | None]]:
    """Scores and, where the net tells them, gains of the candidates of each row, shapes [n]."""
    results: list[tuple[FloatArray, FloatArray | None]] = []
    for row in rows:
        scores, gains = net.judge(*stack([row]))
        results.append((scores[0].double().numpy(), None if gains is None else gains[0].double().numpy()))
    return results


def measure(net: LensNet, rows: Sequence[LensRow]) -> dict[str, float]:
    """Recall of the net and of the fixed mix of words and keys, by set and raw tokens."""
    learned = [scores for scores, _ in judged(net, rows)]
    mixed = [row.features[:, 0].astype(np.float32) for row in rows]
    return {
        f"recall@{budget} {which} ({name})": value
        for which, scores in (("LensNet", learned), ("fixed mix", mixed))
        for budget in RECALL_TOKENS
        for name, value in recall(rows, scores, budget).items()
    }


def _fit_scale(net: LensNet, rows: Sequence[LensRow]) -> None:
    """Let features come in with mean 0 and spread 1."""
    seen = np.concatenate([row.features for row in rows[:: max(len(rows) // 400, 1)]]).astype(np.float32)
    net.mean.copy_(torch.from_numpy(seen.mean(0)))
    net.spread.copy_(torch.from_numpy(seen.std(0) + 1e-3))
