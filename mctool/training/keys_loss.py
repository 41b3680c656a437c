"""What the key encoder is trained on. Shape letters: N keys, Q questions, D width."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mctool.training.keys_data import KeyBatch


def contrast(questions: Tensor, keys: Tensor, batch: KeyBatch, temperature: float) -> Tensor:
    """How far the wanted keys are from being the ones that a question fits best, in nats.

    Each wanted key is held against all keys that are not the question's; the others that answer it are left out.
    Source: InfoNCE (van den Oord et al. 2018) with several right keys to a question.

    Args:
        questions: Vectors of length 1, shape [Q, D].
        keys: Vectors of length 1, shape [N, D].
        batch: Which keys are wanted.
        temperature: What cosines are divided by.
    """
    fits = questions @ keys.T / temperature
    wanted, spared = _in_ranges(batch.wanted, batch.blocks, fits), _in_ranges(batch.spared, batch.blocks, fits)
    others = fits.masked_fill(wanted | spared, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = (torch.logaddexp(fits, others) - fits).masked_fill(~wanted, 0.0).sum(dim=1) / wanted.sum(dim=1)
    weights = torch.tensor(batch.weights, device=fits.device)
    return (losses * weights).sum() / weights.sum()


def imitate(vectors: Tensor, model_vectors: Tensor) -> Tensor:
    """Mean of 1 - cosine of vectors of length 1 (or 0) and those they should be like, each of shape [N, D]."""
    return 1 - (vectors * model_vectors).sum(dim=1).mean()


def agree(fits: Tensor, model_fits: Tensor, temperature: float) -> Tensor:
    """How far the ranking of keys is from that of another encoder: KL divergence in nats, mean over questions.

    Args:
        fits: Cosines of questions and keys, shape [Q, N].
        model_fits: Those of the encoder to be like, shape [Q, N].
        temperature: What cosines are divided by.
    """
    log_p, log_q = (model_fits / temperature).log_softmax(dim=1), (fits / temperature).log_softmax(dim=1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def _in_ranges(ranges: object, blocks: object, like: Tensor) -> Tensor:
    """Which key lies in which question's range, shape [Q, N]."""
    bounds, numbers = torch.as_tensor(ranges, device=like.device), torch.as_tensor(blocks, device=like.device)
    return (numbers[None] >= bounds[:, :1]) & (numbers[None] < bounds[:, 1:])
