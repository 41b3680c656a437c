"""Training the reranker: the function that a question asks for shall fit better than others of the same package.

Functions that mislead are those that the key encoder takes for the likest, and those of the other questions of the
batch. The rate warms up and then falls to zero.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mctool.core.errors import UsageError
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.key_net import KeyNet
from mctool.nets.key_pieces import WordPieces, batches
from mctool.nets.key_weights import load_key_net
from mctool.nets.reranker import BATCH_PIECES, Reranker, RerankerConfig, RerankerNet, shown_function
from mctool.nets.reranker_weights import RerankerCard, load_reranker, write_reranker
from mctool.sources.corpus import Sample, in_dev_split, in_scorer_split
from mctool.training.reranker_data import FunctionCorpus, RerankBatch, RerankShape, Vectors
from mctool.training.schedule import part_done, rate_share

Metrics = dict[str, Any]

MINED_PIECES = 64
"""Word pieces of a function that tell whether it is like a question."""

DEV_QUESTIONS = 240
DEV_LENGTH = 16
"""Functions to choose from in a measurement."""

START_SCALE = 20.0
"""What cosines are multiplied with at first; learned."""


@dataclass(frozen=True)
class RerankerTraining:
    """How a reranker is trained.

    Attributes:
        minutes: Time to train for; 0 goes by ``steps`` alone.
        steps: Steps to train for; 0 goes by ``minutes`` alone.
        learning_rate: Highest rate of AdamW.
        shape: What a batch is made of.
        config: Shape of the net; of a key net with fewer layers all are added to.
        text_pieces: Word pieces that are read of a text in training, where each costs the most.
        warmup: Part of the training until the highest rate.
        clip: Largest norm of a gradient.
        weight_decay: Of AdamW.
        checkpoint_minutes: Time between checkpoints.
        seed: Seed of all draws.
    """

    minutes: float = 0.0
    steps: int = 0
    learning_rate: float = 1e-3
    shape: RerankShape = field(default_factory=RerankShape)
    config: RerankerConfig = field(default_factory=RerankerConfig)
    text_pieces: int = 160
    warmup: float = 0.05
    clip: float = 1.0
    weight_decay: float = 0.01
    checkpoint_minutes: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.minutes > 0 or self.steps > 0):
            raise UsageError("training has no end", "give --minutes or --steps")
        if not self.learning_rate > 0:
            raise UsageError(f"--learning-rate {self.learning_rate} is not positive")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative")


def train_reranker(
    config: RerankerTraining,
    sets: dict[str, list[Sample]],
    encoder: Path,
    out: Path,
    device: str = "auto",
    note: Callable[[Metrics], None] = lambda _metrics: None,
) -> RerankerCard:
    """Train a reranker for a key encoder, and measure it on the records that are kept for that.

    The records that LensNet learns from are left out, too.

    Args:
        config: How.
        sets: Samples by set.
        encoder: Folder of the key encoder.
        out: Folder for the reranker, also as it stands every few minutes; it holds the same key encoder.
        device: As given to ``--device``.
        note: Takes the metrics of each step.

    Returns:
        The card, with the share of questions whose function fits best.

    Raises:
        UsageError: There is no question that asks for a function.
        MismatchError: The key encoder is damaged.
        MissingBackendError: There is no such device.
    """
    place = choose_device(device)
    key_net, tokenizer, fingerprint = load_key_net(encoder)
    pieces = WordPieces(tokenizer, key_net.config.positions)
    torch.manual_seed(config.seed)
    shape = replace(config.config, layers=min(config.config.layers, key_net.config.layers))
    net = RerankerNet(key_net, shape).to(place)
    vectors = key_vectors(key_net.to(place, choose_dtype("auto", place)).eval().requires_grad_(False), pieces)
    samples = [sample for some in sets.values() for sample in some]
    corpus = FunctionCorpus([one for one in samples if not (in_dev_split(one) or in_scorer_split(one))], vectors)
    dev = _dev_corpus(samples, vectors)
    card = RerankerCard(shape, fingerprint, corpus.n_questions)
    fit_reranker(config, net, pieces, corpus, note, lambda: write_reranker(out, net, card))
    write_reranker(out, net, card)
    if dev is not None and (reranker := load_reranker(out, place)) is not None:
        card = replace(card, figures=dev_figures(reranker, dev, vectors))
        write_reranker(out, net, card)
    return card


def _dev_corpus(samples: Sequence[Sample], vectors: Vectors) -> FunctionCorpus | None:
    """The functions of the records that are kept for measuring; None where nothing is asked for them."""
    try:
        return FunctionCorpus([sample for sample in samples if in_dev_split(sample)], vectors)
    except UsageError:
        return None


def fit_reranker(
    config: RerankerTraining,
    net: RerankerNet,
    pieces: WordPieces,
    corpus: FunctionCorpus,
    note: Callable[[Metrics], None],
    checkpoint: Callable[[], None],
) -> None:
    """Train the additions of a net to the end of the training; it is on its device."""
    rng = np.random.default_rng(config.seed)
    log_scale = torch.nn.Parameter(torch.tensor(math.log(START_SCALE), device=net.piece_weight.device))
    weights = [*net.additions().values(), log_scale]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    started = saved = time.monotonic()
    step = 0
    net.train()
    while (done := part_done(config, step, time.monotonic() - started)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_share(done, config.warmup)
        batch = corpus.draw(config.shape, rng)
        loss, right = batch_loss(net, pieces, batch, config.text_pieces, log_scale.exp())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(weights, config.clip)
        optimizer.step()
        step += 1
        now = time.monotonic()
        note({
            "step": step, "seconds": round(now - started, 1), "loss": float(loss.detach()), "right": right,
            "scale": float(log_scale.detach().exp()), "norm": float(norm),
        })  # fmt: skip
        if now - saved > 60 * config.checkpoint_minutes:
            checkpoint()
            saved = now
    net.eval()


def batch_loss(
    net: RerankerNet, pieces: WordPieces, batch: RerankBatch, text_pieces: int, scale: Tensor
) -> tuple[Tensor, float]:
    """Cross entropy of the wanted texts in nats, and the share of the questions for which the right one fits best."""
    device = net.piece_weight.device
    questions = pieces.beginnings(batch.questions, net.config.question_pieces, asked=True)
    texts = pieces.beginnings(batch.texts, text_pieces)
    with torch.autocast(device.type, torch.bfloat16, enabled=choose_dtype("auto", device) is torch.bfloat16):
        fits = net(questions, texts, len(batch.questions), len(batch.texts)) * scale
    fits = fits.masked_fill(torch.as_tensor(batch.spared, device=device), -torch.inf)
    wanted = torch.as_tensor(batch.wanted, device=device)
    return F.cross_entropy(fits, wanted), float((fits.argmax(dim=1) == wanted).float().mean())


def key_vectors(net: KeyNet, pieces: WordPieces) -> Vectors:
    """Vectors of the beginnings of texts, as keys are made."""

    @torch.inference_mode()
    def vectors(texts: Sequence[str], asked: bool) -> np.ndarray:
        runs = pieces.beginnings(texts, MINED_PIECES, asked=asked)
        return net.vectors(batches(runs, BATCH_PIECES), len(texts)).cpu().numpy()

    return vectors


def dev_figures(reranker: Reranker, corpus: FunctionCorpus, vectors: Vectors) -> dict[str, float]:
    """Share of questions whose function fits best among the likest by keys, by the reranker and by keys.

    Once with no docstrings, and once with those of all functions, where the first sentence of one is what is asked.
    """
    figures = {}
    for documented in (False, True):
        found = _firsts(reranker, corpus, vectors, documented)
        figures |= {f"{name}{', documented' if documented else ''}": share for name, share in found.items()}
    return figures


def _firsts(reranker: Reranker, corpus: FunctionCorpus, vectors: Vectors, documented: bool) -> dict[str, float]:
    first, first_by_keys = [], []
    for question, functions in corpus.lists(DEV_QUESTIONS, DEV_LENGTH, np.random.default_rng(0), documented):
        mine, *others = reranker(question, functions).values()
        first.append(mine > max(others))
        texts = [shown_function(name, text) for name, text in functions.items()]
        by_keys = (vectors([question], True) @ vectors(texts, False).T)[0]
        first_by_keys.append(by_keys[0] > by_keys[1:].max())
    if not first:
        return {}
    return {
        f"first of {DEV_LENGTH}": round(float(np.mean(first)), 4),
        f"first of {DEV_LENGTH} by keys": round(float(np.mean(first_by_keys)), 4),
    }
