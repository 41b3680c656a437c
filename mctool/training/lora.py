"""Training a LoRA adapter that answers from a window, briefly or at length, or keeps silent.

The base model stays frozen; the loss is on answers alone, and on stretches of plain text that keep the adapter close to
the model it adapts. The rate warms up, stays, and falls to zero over the last part, so that a run can be prolonged from
any checkpoint. The mean of where a run began and where it ended reads better than either. Source: Hu et al. 2021, LoRA;
Hägele et al. 2024 for the schedule; Wortsman et al. 2022, robust fine-tuning, for the mean.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mctool.core.errors import MismatchError, UsageError
from mctool.nets.base_model import end_ids
from mctool.nets.checkpoint import read_tensors
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.hugging_face import make_model, read_config
from mctool.nets.model_store import ModelFiles
from mctool.nets.wheel import file_sha256
from mctool.training.metrics import MetricsWriter
from mctool.training.rows import Batch, Row, batches, collate

STATE_FILE = "state.safetensors"
ADAPTER_FOLDER = "adapter"
FALSE_REFUSALS = 0.08

_ANSWERED = {"short": ("short", "long"), "long": ("short", "long"), "code": ("lookup",)}
"""Kinds of segments that tell where the threshold of each kind of reading should be."""


@dataclass(frozen=True)
class LoraTraining:
    """How an adapter is trained.

    Attributes:
        minutes: Time of the run, the time before it was resumed included; 0 goes by ``steps`` alone.
        steps: Steps of the run; 0 goes by ``minutes`` alone.
        rank: Rank of the adapter's matrices.
        alpha: The adapter's output is scaled by alpha / rank.
        learning_rate: Highest rate of AdamW.
        warmup_steps: Steps until that.
        cooldown: Part of the run at whose end the rate falls to zero.
        clip: Largest norm of a gradient.
        batch_tokens: Slots of a batch.
        checkpoint_minutes: Time between checkpoints.
        seed: Seed of the first weights and of the order of rows.
        start_share: Share of the adapter begun with in the mean of it and the last weights, which is the result.
    """

    minutes: float = 0.0
    steps: int = 0
    rank: int = 16
    alpha: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    cooldown: float = 0.6
    clip: float = 1.0
    batch_tokens: int = 2048
    checkpoint_minutes: float = 5.0
    seed: int = 0
    start_share: float = 0.0

    def __post_init__(self) -> None:
        if not (self.minutes > 0 or self.steps > 0):
            raise UsageError("the run has no end", "give --minutes or --steps")
        for name in ("rank", "alpha", "batch_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)} is not positive")
        if not self.learning_rate > 0:
            raise UsageError(f"--learning-rate {self.learning_rate} is not positive")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative")
        if not 0 <= self.start_share < 1:
            raise UsageError(f"--start-share {self.start_share} is not in [0, 1)")


Metrics = dict[str, float]


@dataclass
class _Progress:
    """Where a run is: everything that, with weights and moments, makes it go on as if it had not stopped."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    questions: int = 0
    cooldown_from: int | None = None
    cooldown_steps: int = 0
    before: Metrics = field(default_factory=dict)


class LoraTrainer:
    """A run of training.

    Args:
        files: The base model.
        config: How.
        rows: What to train on.
        dev_rows: What to measure on; none for no measurements.
        out: Directory for checkpoints, metrics and the adapter.
        device: As given to ``--device``.
        report: Takes the metrics of each step and of each measurement.
        start: Folder of an adapter to begin with; none begins with one that does nothing.
    """

    def __init__(
        self,
        files: ModelFiles,
        config: LoraTraining,
        rows: Sequence[Row],
        dev_rows: Sequence[Row],
        out: Path,
        device: str = "auto",
        report: Callable[[dict[str, Any]], None] = lambda _metrics: None,
        start: Path | None = None,
    ) -> None:
        if not rows:
            raise UsageError("there is nothing to train on", "give data with located questions")
        self._files, self._config, self._rows, self._dev_rows = files, config, rows, dev_rows
        self._out, self._report = out, report
        self._device = choose_device(device)
        dtype = choose_dtype("auto", self._device)
        self._half = dtype is torch.bfloat16
        torch.manual_seed(config.seed)
        described = read_config(files.directory)
        base = make_model(described, read_tensors(files, dtype), dtype).to(self._device)
        self._end_ids = sorted(end_ids(files, described))
        lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        self._model: PeftModel = get_peft_model(base, lora)
        self._begun_with: dict[str, Tensor] = {}
        self._start_sha256 = ""
        if start is not None:
            self._begin_with(start)
        elif config.start_share:
            raise UsageError("--start-share says nothing where a run begins with no adapter", "give --start")
        for parameter in self._trained().values():
            parameter.data = parameter.data.float()
        self._optimizer = torch.optim.AdamW(self._trained().values(), lr=config.learning_rate, weight_decay=0.0)
        self._progress = _Progress()
        self._silence: list[tuple[str, float]] = []
        out.mkdir(parents=True, exist_ok=True)
        self._metrics = MetricsWriter(out)

    def _begin_with(self, folder: Path) -> None:
        """Take over the matrices of an adapter of the same rank."""
        path = folder / "adapter_model.safetensors"
        try:
            self._start_sha256 = file_sha256(path)
            self._begun_with = load_file(path)
            left = set_peft_model_state_dict(self._model, self._begun_with)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise MismatchError(
                f"{folder} holds no adapter of rank {self._config.rank} for this model",
                "give another --start or --rank",
            ) from error
        if left.unexpected_keys:
            raise MismatchError(f"{path} has weights that this model has not", "give another --start")

    def _trained(self) -> dict[str, Tensor]:
        return {name: weight for name, weight in self._model.named_parameters() if weight.requires_grad}

    @property
    def questions(self) -> int:
        """Questions trained on so far, each as often as it came."""
        return self._progress.questions

    def run(self) -> tuple[Metrics, Metrics]:
        """Train to the end, or go on; returns the measurements before the first step and after the last."""
        if not self._progress.step:
            self._progress.before = self.measure()
        started = time.monotonic() - self._progress.seconds
        saved = self._progress.seconds
        while not self._is_done():
            self._step()
            self._progress.seconds = time.monotonic() - started
            if self._progress.seconds - saved >= 60 * self._config.checkpoint_minutes:
                saved = self._progress.seconds
                self.save()
                self.measure()
        self.save()
        if self._config.start_share:
            self._mix_in_start()
            self._save_adapter()
        return self._progress.before, self.measure()

    def _mix_in_start(self) -> None:
        share = self._config.start_share
        last = get_peft_model_state_dict(self._model, save_embedding_layers=False)
        mean = {name: torch.lerp(last[name].cpu().float(), self._begun_with[name].float(), share) for name in last}
        set_peft_model_state_dict(self._model, mean)

    def _is_done(self) -> bool:
        progress, config = self._progress, self._config
        if progress.cooldown_from is None:
            by_time = config.minutes and progress.seconds >= 60 * config.minutes * (1 - config.cooldown)
            by_steps = config.steps and progress.step >= round(config.steps * (1 - config.cooldown))
            if progress.step and (by_time or by_steps):
                progress.cooldown_from = progress.step
                share = config.cooldown / (1 - config.cooldown)
                left = config.steps - progress.step if by_steps else math.ceil(progress.step * share)
                progress.cooldown_steps = max(left, 1)
        if config.steps and progress.step >= config.steps:
            return True
        return progress.cooldown_from is not None and progress.step >= progress.cooldown_from + progress.cooldown_steps

    def _rate(self) -> float:
        progress, config = self._progress, self._config
        rate = config.learning_rate * min(1.0, (progress.step + 1) / max(config.warmup_steps, 1))
        if progress.cooldown_from is not None:
            rate *= 1 - (progress.step - progress.cooldown_from) / progress.cooldown_steps
        return rate

    def _step(self) -> None:
        progress, config = self._progress, self._config
        order = batches(self._rows, config.batch_tokens, config.seed + 7919 * progress.epoch)
        batch = collate([self._rows[place] for place in order[progress.batch]], self._end_ids[0])
        rate = self._rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._model.train()
        nll, _, _ = self._nll(batch)
        weight = batch.weight.to(self._device)
        loss = (nll * weight).sum() / weight.sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._trained().values(), config.clip)
        self._optimizer.step()
        progress.step += 1
        progress.questions += len(batch.kinds)
        progress.batch += 1
        if progress.batch == len(order):
            progress.epoch, progress.batch = progress.epoch + 1, 0
        self._tell({"loss": float(loss.detach()), "rate": rate, "gradient_norm": float(norm)})

    def _nll(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Of each label, shape [m]: its nats, whether it was the likeliest token, and the log odds of an end token."""
        base = self._model.get_base_model()
        with self._autocast():
            hidden = base.model(
                input_ids=batch.ids.to(self._device),
                position_ids=batch.positions.to(self._device),
                attention_mask=batch.mask.to(self._device),
                use_cache=False,
            ).last_hidden_state
            logits = base.lm_head(hidden[batch.row.to(self._device), batch.slot.to(self._device)]).float()
        label = batch.label.to(self._device)
        nats = torch.nn.functional.cross_entropy(logits, label, reduction="none")
        with torch.no_grad():
            silence = torch.special.logit(torch.softmax(logits, -1)[:, self._end_ids].sum(-1), eps=1e-6)
        return nats, logits.argmax(-1) == label, silence

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._half else nullcontext()

    @torch.no_grad()
    def measure(self) -> Metrics:
        """Nats per label, and the share of answers that are right word for word, by kind, on the rows kept apart."""
        if not self._dev_rows:
            return {}
        self._model.eval()
        nats: dict[str, list[float]] = {}
        exact: dict[str, list[bool]] = {}
        self._silence = []
        for places in batches(self._dev_rows, self._config.batch_tokens, 0):
            batch = collate([self._dev_rows[place] for place in places], self._end_ids[0])
            nll, right, silence = (tensor.cpu() for tensor in self._nll(batch))
            for number, kind in enumerate(batch.kinds):
                mine = batch.segment == number
                nats.setdefault(kind, []).append(float(nll[mine].mean()))
                exact.setdefault(kind, []).append(bool(right[mine].all()))
                self._silence.append((kind, float(silence[mine][0])))
        metrics = {
            f"{name}_{kind}": sum(values) / len(values)
            for name, table in (("nll", nats), ("exact", exact))
            for kind, values in table.items()
        }
        self._tell({"dev": metrics})
        return metrics

    def silence_thresholds(self) -> dict[str, float]:
        """Log odds of silence above which a question is to be refused, by kind of reading, by the last measurement.

        As many refusals as there can be while no more than FALSE_REFUSALS of the questions with an answer are refused.
        """
        return {
            name: _upper_quantile([odds for kind, odds in self._silence if kind in kinds], 1 - FALSE_REFUSALS)
            for name, kinds in _ANSWERED.items()
        }

    def _tell(self, metrics: dict[str, Any]) -> None:
        progress = self._progress
        now = {"step": progress.step, "seconds": round(progress.seconds, 1), "questions": progress.questions}
        record = {**now, **metrics}
        self._metrics.write(record)
        self._report(record)

    def save(self) -> None:
        """Write a checkpoint, and the adapter as peft reads it, each file whole or not at all."""
        tensors = {f"weight.{name}": weight.detach().cpu().contiguous() for name, weight in self._trained().items()}
        for name, weight in self._trained().items():
            for key, value in self._optimizer.state.get(weight, {}).items():
                tensors[f"{key}.{name}"] = value.detach().cpu().contiguous()
        note = {
            "progress": json.dumps(asdict(self._progress)),
            "config": json.dumps(asdict(self._config)),
            "start": self._start_sha256,
        }
        _save_whole(self._out / STATE_FILE, tensors, note)
        self._save_adapter()

    def _save_adapter(self) -> None:
        folder = self._out / ADAPTER_FOLDER
        folder.mkdir(exist_ok=True)
        config = self._model.peft_config["default"]
        config.base_model_name_or_path = self._files.name
        config.save_pretrained(str(folder))
        adapter = {
            name: weight.detach().to("cpu", torch.float16).contiguous()
            for name, weight in get_peft_model_state_dict(self._model, save_embedding_layers=False).items()
        }
        _save_whole(folder / "adapter_model.safetensors", adapter, {"format": "pt"})

    def resume(self) -> None:
        """Go on from the checkpoint in ``out``.

        Raises:
            MismatchError: There is none, it is damaged, or it is of a run with other settings or another start.
        """
        path = self._out / STATE_FILE
        try:
            with safe_open(path, framework="pt") as state:
                note = state.metadata()
                tensors = {name: state.get_tensor(name) for name in state.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, SafetensorError) as error:
            raise MismatchError(f"{path} is no checkpoint: {error}", "leave --resume out") from error
        before, now = json.loads(note["config"]), asdict(self._config)
        changed = [
            name for name in now if name not in ("minutes", "steps", "start_share") and before.get(name) != now[name]
        ]
        if changed:
            raise MismatchError(f"{path} was written with another {', '.join(changed)}", "give the same settings")
        if note.get("start", self._start_sha256) != self._start_sha256:  # earlier versions did not note it
            raise MismatchError(f"{path} is of a run that began with another --start, or none", "give the same --start")
        self._progress = _Progress(**json.loads(note["progress"]))
        if (before["minutes"], before["steps"]) != (now["minutes"], now["steps"]):
            self._progress.cooldown_from = None
        for name, weight in self._trained().items():
            weight.data.copy_(tensors[f"weight.{name}"])
            if f"step.{name}" in tensors:
                self._optimizer.state[weight] = {
                    "step": tensors[f"step.{name}"],
                    "exp_avg": tensors[f"exp_avg.{name}"].to(self._device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(self._device),
                }


def _save_whole(path: Path, tensors: dict[str, Tensor], note: dict[str, str]) -> None:
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, note)
    part.replace(path)


def _upper_quantile(values: list[float], share: float) -> float:
    """The smallest value that at least a share of the values do not exceed; 0 without values."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)] if values else 0.0
