"""The loop that trains the key encoder, and its settings. Shape letters: N keys, Q questions, D width."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mctool.core.errors import UsageError
from mctool.nets.device import choose_dtype
from mctool.nets.key_encoder import BATCH_PIECES
from mctool.nets.key_net import KeyNet
from mctool.nets.key_pieces import WordPieces, batches
from mctool.training.keys_data import BatchShape, KeyBatch, KeyCorpus
from mctool.training.keys_loss import agree, contrast, imitate
from mctool.training.schedule import part_done, rate_share

Metrics = dict[str, Any]
Report = Callable[[Metrics], None]

WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class KeyStage:
    """One stage of training.

    Attributes:
        minutes: Time of the stage; 0 goes by ``steps`` alone.
        steps: Steps of the stage; 0 goes by ``minutes`` alone.
        learning_rate: Highest rate of AdamW.
        shape: What a batch is made of.
        contrast: Weight of the contrast of wanted keys and others.
        imitate: Weight of being like the teacher's vectors.
        agree: Weight of being like the teacher's ranking.
    """

    minutes: float = 0.0
    steps: int = 0
    learning_rate: float = 1e-4
    shape: BatchShape = field(default_factory=BatchShape)
    contrast: float = 1.0
    imitate: float = 0.0
    agree: float = 0.0

    def __post_init__(self) -> None:
        if not (self.minutes > 0 or self.steps > 0):
            raise UsageError("the stage has no end", "give --minutes or --steps")
        if not self.learning_rate > 0:
            raise UsageError(f"--learning-rate {self.learning_rate} is not positive")
        if min(self.contrast, self.imitate, self.agree) < 0 or not self.contrast + self.imitate + self.agree > 0:
            raise UsageError(f"weights {self.contrast}, {self.imitate}, {self.agree} of losses are not positive")


@dataclass(frozen=True)
class KeyTraining:
    """How a key encoder is trained.

    Attributes:
        teacher: The stage of the teacher.
        student: That of the student; None gives the teacher.
        teacher_layers: Layers of MiniLM that the teacher starts from, the first ones.
        layers: Layers of the teacher that the student starts from.
        start_share: Share of the weights begun with in the mean of them and the last ones, which is the teacher.
        temperature: What cosines are divided by.
        warmup: Part of a stage until the highest rate.
        clip: Largest norm of a gradient.
        checkpoint_minutes: Time between checkpoints.
        seed: Seed of all draws.
    """

    teacher: KeyStage
    student: KeyStage | None = None
    teacher_layers: int = 6
    layers: tuple[int, ...] = (0, 5)
    start_share: float = 0.3
    temperature: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0
    checkpoint_minutes: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UsageError(f"--temperature {self.temperature} is not positive")
        if not 0 <= self.start_share < 1:
            raise UsageError(f"a share of {self.start_share} of the weights begun with is not in [0, 1)")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup {self.warmup} is not in [0, 1)")
        if not self.layers or not set(self.layers) <= set(range(self.teacher_layers)):
            raise UsageError(f"layers {list(self.layers)} are not among the teacher's {self.teacher_layers}")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative")


class KeyTrainer:
    """Trains nets on one corpus.

    Args:
        config: How.
        pieces: The word pieces of the nets.
        corpus: Windows and questions.
        report: Takes the metrics of each step.
    """

    def __init__(
        self, config: KeyTraining, pieces: WordPieces, corpus: KeyCorpus, report: Report = lambda _metrics: None
    ) -> None:
        self._config, self._pieces, self._corpus, self._report = config, pieces, corpus, report

    def train(
        self,
        net: KeyNet,
        stage: KeyStage,
        teacher: KeyNet | None = None,
        checkpoint: Callable[[KeyNet], None] = lambda _net: None,
    ) -> None:
        """Train a net to the end of a stage.

        Without a teacher, its weights are in the end the mean of those begun with and those come to, which finds more
        in texts unlike those trained on. Source: Wortsman et al. 2022 ("Robust fine-tuning of zero-shot models").

        Args:
            net: On its device; its weights change.
            stage: What it learns, and for how long.
            teacher: What to be like; None for contrast alone.
            checkpoint: Takes the net every few minutes.
        """
        config = self._config
        rng = np.random.default_rng(config.seed)
        optimizer = torch.optim.AdamW(net.parameters(), lr=stage.learning_rate, weight_decay=WEIGHT_DECAY)
        weights = {"contrast": stage.contrast, "imitate": stage.imitate, "agree": stage.agree}
        begun = {name: weight.clone() for name, weight in net.state_dict().items()}
        share = config.start_share if teacher is None else 0.0
        started = saved = time.monotonic()
        step = 0
        net.train().requires_grad_(True)
        while (done := part_done(stage, step, time.monotonic() - started)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = stage.learning_rate * rate_share(done, config.warmup)
            losses = self.losses(net, self._corpus.draw(stage.shape, rng), teacher)
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack([weights[name] * loss for name, loss in losses.items()]).sum())
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip)
            optimizer.step()
            step += 1
            now = time.monotonic()
            measured = {"seconds": round(now - started, 1), "norm": float(norm)}
            self._report({"step": step} | measured | {name: float(loss.detach()) for name, loss in losses.items()})
            if now - saved > 60 * config.checkpoint_minutes:
                checkpoint(net)
                saved = now
        net.eval().requires_grad_(False)
        net.load_state_dict({name: share * begun[name] + (1 - share) * now for name, now in net.state_dict().items()})

    def losses(self, net: KeyNet, batch: KeyBatch, teacher: KeyNet | None = None) -> dict[str, Tensor]:
        """What a net is trained on, by name: ``contrast``, with a teacher also ``imitate`` and ``agree``."""
        keys, questions = self._vectors(net, batch)
        losses = {"contrast": contrast(questions, keys, batch, self._config.temperature)}
        if teacher is not None:
            with torch.no_grad():
                model_keys, model_questions = self._vectors(teacher, batch)
            losses["imitate"] = imitate(keys, model_keys) + imitate(questions, model_questions)
            losses["agree"] = agree(questions @ keys.T, model_questions @ model_keys.T, self._config.temperature)
        return losses

    def _vectors(self, net: KeyNet, batch: KeyBatch) -> tuple[Tensor, Tensor]:
        """Vectors of the keys, shape [N, D], and of the questions, shape [Q, D], in float32."""
        device = net.pieces.weight.device
        with torch.autocast(device.type, torch.bfloat16, enabled=choose_dtype("auto", device) is torch.bfloat16):
            runs = self._pieces.text_runs(batch.windows)
            keys = net.vectors(batches(runs, BATCH_PIECES), len(batch.blocks))
            asked = self._pieces.question_runs(batch.questions)
            questions = net.vectors(batches(asked, BATCH_PIECES), len(batch.questions))
        return keys.float(), questions.float()
