"""Training GistNet, and with it DeGistNet, in stages.

``content``: gists tell their tokens, without the base model; cheap, and what puts content in. ``repeat``: the base
model repeats the last block from its gist. ``reading``: the base model reads on after windows of gists as it would
after the text, by the text itself; ``teacher``: by what it expects after the whole text; ``states``: in its first
layers' states. In all of them the content objective stays on, so that what came in first is not washed out.
``degist``: DeGistNet alone learns to take apart the gists of a GistNet that stays as it is.

Everything random hangs on the seed and the number of the step alone: a run that is resumed goes on as if never stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import MismatchError, UsageError
from mctool.nets.degistnet import DeGistNet
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.gistnet import GistNet
from mctool.nets.model_store import ModelFiles
from mctool.training.gist_loss import Vocabulary, bag_loss, children_loss, norm_loss, order_loss
from mctool.training.gist_measure import GistMeasure, GistMetrics
from mctool.training.gist_reader import COMMON_TOKENS, GistReader, GistWindows, continuation_loss, states_loss
from mctool.training.gist_texts import GistTexts
from mctool.training.metrics import MetricsWriter
from mctool.training.schedule import part_done, rate_share

STATE_FILE = "state.safetensors"

FEW_NODES = 8
TOKENS_A_SLOT = 16
"""Tokens that GistNet learns from in the time that the base model takes for a slot of a window."""

StageKind = Literal["content", "repeat", "states", "reading", "teacher", "degist"]
RATES: dict[StageKind, float] = {
    "content": 1e-3, "repeat": 5e-4, "states": 3e-4, "reading": 3e-4, "teacher": 3e-4, "degist": 1e-3,
}  # fmt: skip
"""Highest learning rate of a stage that names none."""


@dataclass(frozen=True)
class GistStage:
    """One stage of training.

    Attributes:
        kind: What gists are trained for.
        minutes: Time of the stage; 0 goes by ``steps`` alone.
        steps: Steps of the stage; 0 goes by ``minutes`` alone.
        learning_rate: Highest rate of AdamW; 0 takes that of the kind.
    """

    kind: StageKind
    minutes: float = 0.0
    steps: int = 0
    learning_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(StageKind):
            raise UsageError(f"--stage {self.kind} is not one of {', '.join(get_args(StageKind))}")
        if not (self.minutes > 0 or self.steps > 0):
            raise UsageError(f"stage {self.kind} has no end", "write it as in --stage reading=60 (minutes)")
        if self.learning_rate < 0:
            raise UsageError(f"stage {self.kind}: learning rate {self.learning_rate} is negative")

    @property
    def rate(self) -> float:
        """Highest learning rate."""
        return self.learning_rate or RATES[self.kind]


@dataclass(frozen=True)
class GistTraining:
    """How GistNet is trained.

    Attributes:
        stages: One after the other.
        runs: Runs of 32 blocks of a step of ``content``.
        windows: Windows of a step with the base model that have few nodes; where they have more, so many fewer that
            a step takes as long.
        nodes: Numbers of nodes of windows; each step takes one.
        lod2_share: Part of the steps whose nodes are of level 2.
        lod2_nodes: Numbers of nodes of those.
        horizon: Tokens of the tail, which are told (glossary, "Horizon").
        order_places: Places of each block that ``order`` asks for in a step.
        content_weight: Weight of the content objective beside that with the base model.
        recall_weight: Weight of tokens that only the replaced text could tell, in ``reading`` and ``repeat``.
        layers: Layers of the base that ``states`` goes through.
        warmup: Part of a stage until its highest rate.
        weight_decay: Of AdamW.
        clip: Largest norm of a gradient.
        checkpoint_minutes: Time between checkpoints.
        measure_minutes: Time between measurements.
        seed: Seed of all draws.
    """

    stages: tuple[GistStage, ...]
    runs: int = 8
    windows: int = 16
    nodes: tuple[int, ...] = (1, 2, 4, 8, 8, 16, 64, 256)
    lod2_share: float = 0.15
    lod2_nodes: tuple[int, ...] = (1, 2, 4, 8)
    horizon: int = 48
    order_places: int = 8
    content_weight: float = 0.3
    recall_weight: float = 1.0
    layers: int = 8
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpoint_minutes: float = 3.0
    measure_minutes: float = 15.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise UsageError("the run has no stages", "give --stage KIND=MINUTES")
        for name in ("runs", "windows", "horizon", "order_places", "layers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)} is not positive")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative")

    def window_tokens(self, n_nodes: int, lod: int) -> int:
        """Tokens of a window: the sink, the text of its nodes, the tail, and the last one to be told."""
        return 1 + n_nodes * BLOCK_TOKENS**lod + self.horizon + 1

    def n_windows(self, n_nodes: int, lod: int) -> int:
        """Windows of a step, by the number of nodes in each and their level."""

        def work(n_nodes: int, lod: int) -> int:
            return n_nodes * (1 + BLOCK_TOKENS**lod // TOKENS_A_SLOT) + self.horizon

        return max(min(round(self.windows * work(FEW_NODES, 1) / work(n_nodes, lod)), self.windows), 1)


@dataclass
class _Progress:
    """Where a run is: all that, with weights and moments, makes it go on as if it had not stopped."""

    step: int = 0
    stage: int = 0
    stage_step: int = 0
    stage_seconds: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    curve: list[GistMetrics] = field(default_factory=list)


class GistTrainer:
    """A run of training.

    Args:
        files: The base model.
        net: The GistNet to begin with; it is trained in place.
        config: How.
        texts: What to train on.
        dev_texts: What to measure on.
        out: Directory for checkpoints and metrics.
        device: As given to ``--device``.
        report: Takes the metrics of each step and of each measurement.
    """

    def __init__(
        self,
        files: ModelFiles,
        net: GistNet,
        config: GistTraining,
        texts: GistTexts,
        dev_texts: GistTexts,
        out: Path,
        device: str = "auto",
        report: Callable[[dict[str, Any]], None] = lambda _metrics: None,
    ) -> None:
        self._config, self._texts, self._out, self._report = config, texts, out, report
        self._device = choose_device(device)
        dtype = choose_dtype("auto", self._device)
        self._half = dtype is torch.bfloat16
        self._reader = GistReader(files, self._device, dtype, config.layers)
        self.net = net.to(self._device).train().requires_grad_(True)
        self.degist = DeGistNet(net.base_width, net.config, float(net.target_norm), config.seed).to(self._device)
        self._sharpness = nn.Parameter(torch.tensor(3.0, device=self._device))
        self._fitting = {
            lod: [n for n in nodes if config.window_tokens(n, lod) <= texts.longest]
            for lod, nodes in ((1, config.nodes), (2, config.lod2_nodes))
        }
        if not self._fitting[1]:
            raise UsageError(
                f"no document has {config.window_tokens(min(config.nodes), 1)} tokens", "give longer texts"
            )
        counts = texts.counts(len(self._reader.table))
        frequency = torch.from_numpy(np.log(counts / counts.sum())).float().to(self._device)
        self._vocabulary = Vocabulary(self._reader.table, frequency)
        self._common = frequency.topk(min(COMMON_TOKENS, len(frequency))).indices
        self._optimizer = torch.optim.AdamW(
            self._trained().values(), lr=config.stages[0].rate, weight_decay=config.weight_decay
        )
        self._measure = GistMeasure(self._reader, dev_texts, self._vocabulary, config.seed)
        self._progress = _Progress()
        out.mkdir(parents=True, exist_ok=True)
        self._metrics = MetricsWriter(out)

    @property
    def tokens(self) -> int:
        """Tokens trained on so far, each as often as it came."""
        return self._progress.tokens

    @property
    def curve(self) -> list[GistMetrics]:
        """All measurements so far, by tokens trained on."""
        return self._progress.curve

    def run(self) -> None:
        """Train to the end, or go on."""
        progress, config = self._progress, self._config
        if not progress.step:
            self.measure()
        started = time.monotonic()
        saved = measured = 0.0
        while progress.stage < len(config.stages):
            begun = time.monotonic()
            self._step()
            spent = time.monotonic() - begun
            progress.seconds += spent
            progress.stage_seconds += spent
            if part_done(config.stages[progress.stage], progress.stage_step, progress.stage_seconds) >= 1:
                progress.stage, progress.stage_step, progress.stage_seconds = progress.stage + 1, 0, 0.0
            now = time.monotonic() - started
            if now - measured >= 60 * config.measure_minutes:
                self.measure()
                measured = time.monotonic() - started
            if now - saved >= 60 * config.checkpoint_minutes:
                self.save()
                saved = now
        self.measure()
        self.save()

    def measure(self) -> GistMetrics:
        """R, content and the share of tokens rebuilt, on the texts kept apart."""
        self.net.eval()
        metrics = {"tokens": float(self._progress.tokens), **self._measure.take(self.net, self.degist)}
        self.net.train()
        self._progress.curve.append(metrics)
        self._tell({"dev": metrics})
        return metrics

    def _step(self) -> None:
        progress, config = self._progress, self._config
        stage = config.stages[progress.stage]
        rng = np.random.default_rng([config.seed, progress.step])
        rate = stage.rate * rate_share(part_done(stage, progress.stage_step, progress.stage_seconds), config.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with self._autocast():
            if stage.kind in ("content", "degist"):
                parts = self._content(rng, frozen=stage.kind == "degist")
            else:
                parts = self._judged(stage.kind, rng)
        loss = torch.stack(list(parts.values())).sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._trained().values(), config.clip)
        self._optimizer.step()
        progress.step += 1
        progress.stage_step += 1
        told = {name: round(float(part.detach()), 4) for name, part in parts.items()}
        self._tell({"stage": stage.kind, "rate": round(rate, 7), "gradient_norm": round(float(norm), 3), **told})

    def _content(self, rng: np.random.Generator, *, frozen: bool) -> dict[str, Tensor]:
        """The content objective on runs of 32 blocks, for levels 1 and 2; frozen, only what DeGistNet can change."""
        runs = self._texts.draw(self._config.runs, BLOCK_TOKENS**2, rng)
        ids = torch.from_numpy(runs).to(self._device)
        self._progress.tokens += ids.numel()
        with torch.no_grad() if frozen else nullcontext():
            gists = self._gists(ids.view(-1, BLOCK_TOKENS))
            parents = self.net(gists.view(len(ids), BLOCK_TOKENS, -1), None, 2)
        parts = self._told(gists, ids.view(-1, BLOCK_TOKENS), rng)
        parts["bag2"] = 0.5 * bag_loss(parents, ids, self._vocabulary, self._sharpness.exp())
        parts["children2"] = 0.1 * children_loss(self.degist, parents, gists.view(len(ids), BLOCK_TOKENS, -1), 2)
        parts["norm"] = parts["norm"] + norm_loss(parents, self.net.target_norm)
        return {name: parts[name] for name in ("order", "children2")} if frozen else parts

    def _judged(self, kind: StageKind, rng: np.random.Generator) -> dict[str, Tensor]:
        """The objective with the base model on windows, and the content objective on their blocks."""
        config = self._config
        lod = 2 if rng.random() < config.lod2_share and self._fitting[2] else 1
        n_nodes = int(rng.choice(self._fitting[lod]))
        n_windows = config.n_windows(n_nodes, lod)
        n_tokens = config.window_tokens(n_nodes, lod)
        ids = torch.from_numpy(self._texts.draw(n_windows, n_tokens, rng)).to(self._device)
        windows = GistWindows(ids, lod, n_nodes)
        self._progress.tokens += windows.text.numel()
        blocks = windows.text.reshape(-1, BLOCK_TOKENS)
        gists = self._gists(blocks)
        nodes = gists if lod == 1 else self.net(gists.view(-1, BLOCK_TOKENS, gists.shape[1]), None, 2)
        nodes = nodes.view(n_windows, n_nodes, -1)
        if kind == "repeat":
            windows = windows.repeating(config.horizon)
        if kind == "states":
            judged = states_loss(self._reader, windows, nodes)
        else:
            judged = continuation_loss(
                self._reader, windows, nodes, self._common, taught=kind == "teacher", recall_weight=config.recall_weight
            )
        some = torch.from_numpy(rng.permutation(len(blocks))[: BLOCK_TOKENS * config.runs]).to(self._device)
        told = self._told(gists[some], blocks[some], rng)
        weighted = {name: config.content_weight * part for name, part in told.items() if name != "norm"}
        length = norm_loss(nodes.flatten(0, 1), self.net.target_norm)
        return {kind: judged, **weighted, "norm": told["norm"] + length}

    def _gists(self, blocks: Tensor) -> Tensor:
        return self.net(self._reader.embed(blocks), None, 1)

    def _told(self, gists: Tensor, blocks: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        places = torch.from_numpy(rng.permutation(BLOCK_TOKENS)[: self._config.order_places]).to(self._device)
        order = order_loss(self.degist, gists, blocks, places, self._vocabulary)
        return {
            "bag": bag_loss(gists, blocks, self._vocabulary, self._sharpness.exp()),
            "order": order,
            "norm": norm_loss(gists, self.net.target_norm),
        }

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._half else nullcontext()

    def _trained(self) -> dict[str, Tensor]:
        nets = {"gist": self.net, "degist": self.degist}
        named = {f"{which}.{name}": weight for which, net in nets.items() for name, weight in net.named_parameters()}
        return {**named, "sharpness": self._sharpness}

    def _tell(self, metrics: dict[str, Any]) -> None:
        progress = self._progress
        now = {"step": progress.step, "seconds": round(progress.seconds, 1), "tokens": progress.tokens}
        record = {**now, **metrics}
        self._metrics.write(record)
        self._report(record)

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {f"weight.{name}": weight.detach().cpu().contiguous() for name, weight in self._trained().items()}
        for name, weight in self._trained().items():
            for key, value in self._optimizer.state.get(weight, {}).items():
                tensors[f"{key}.{name}"] = value.detach().cpu().contiguous()
        note = {"progress": json.dumps(asdict(self._progress)), "config": json.dumps(asdict(self._config))}
        part = self._out / f"{STATE_FILE}.part"
        save_file(tensors, part, note)
        part.replace(self._out / STATE_FILE)

    def resume(self) -> None:
        """Go on from the checkpoint in ``out``; stages may have been added, or the last one prolonged.

        Raises:
            MismatchError: There is none, it is damaged, or it is of a run with other settings.
        """
        path = self._out / STATE_FILE
        try:
            with safe_open(path, framework="pt") as state:
                note = state.metadata()
                tensors = {name: state.get_tensor(name) for name in state.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, SafetensorError) as error:
            raise MismatchError(f"{path} is no checkpoint: {error}", "leave --resume out") from error
        before, now = json.loads(note["config"]), asdict(self._config)
        free = ("stages", "checkpoint_minutes", "measure_minutes")
        changed = [name for name in now if name not in free and _plain(before.get(name)) != _plain(now[name])]
        if changed:
            raise MismatchError(f"{path} was written with another {', '.join(changed)}", "give the same settings")
        self._progress = _Progress(**json.loads(note["progress"]))
        for name, weight in self._trained().items():
            weight.data.copy_(tensors[f"weight.{name}"])
            if f"step.{name}" in tensors:
                self._optimizer.state[weight] = {
                    "step": tensors[f"step.{name}"],
                    "exp_avg": tensors[f"exp_avg.{name}"].to(self._device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(self._device),
                }


def _plain(value: object) -> object:
    """A setting as JSON gives it back."""
    return json.loads(json.dumps(value))
