"""Merging a LoRA adapter in peft's format into the weights of a model before the model is made.

peft itself is not used, as its import alone would add seconds to every start; tests compare with it.

Shape letters: o outputs and i inputs of a linear layer, r rank.

Source: LoRA (Hu et al. 2021) sec. 4.1; rank-stabilised scale: Kalajdzievski 2023.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mctool.core.errors import MismatchError

CONFIG_FILE = "adapter_config.json"
TENSORS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"

_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "init_lora_weights"}
_HARMLESS = {
    "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "lora_dropout", "megatron_config", "megatron_core", "peft_version",
    "qalora_group_size", "revision", "target_modules", "task_type",
}  # fmt: skip
"""Settings that change training, or say what the tensors say by themselves. All others have to be off, so that a
setting of a later peft that changes the arithmetic is refused rather than ignored."""

_PLAIN_STARTS = (True, False, "gaussian")
"""Starts of training that leave the base weights as they are; others, such as PiSSA, train beside changed ones."""


def merge_adapter(tensors: dict[str, Tensor], folder: Path) -> None:
    """Add a plain LoRA adapter to weights: ``weight += scale * B @ A`` in float32, for every layer that it adapts.

    Args:
        tensors: Weights of a model by name; those of adapted layers, shape [o, i], are replaced by float32 ones.
            Nothing is replaced when something is refused.
        folder: Holds ``adapter_config.json`` and ``adapter_model.safetensors``, as peft writes them.

    Raises:
        MismatchError: A file is missing or broken, the adapter is more than plain LoRA, or it does not fit the model.
    """
    rank, scale = _read_config(folder)
    merged: dict[str, Tensor] = {}
    for module, (a, b) in _read_pairs(folder).items():
        name = f"{module}.weight"
        if name not in tensors:
            raise _mismatch(folder, f"it adapts {module}, which the model does not have as weights of its own")
        weight = tensors[name]
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != rank or b.shape[1] != rank:
            raise _mismatch(folder, f"{module} has A {_shape(a)} and B {_shape(b)}; expected [{rank}, i], [o, {rank}]")
        if weight.shape != (b.shape[0], a.shape[1]):
            raise _mismatch(
                folder, f"it adapts {module} of shape {[b.shape[0], a.shape[1]]}; in the model it is {_shape(weight)}"
            )
        merged[name] = weight.float() + scale * (b.float() @ a.float())
    tensors.update(merged)


def _read_config(folder: Path) -> tuple[int, float]:
    """Rank and scale."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        if config["peft_type"] != "LORA":
            raise _mismatch(folder, f"it is of type {config['peft_type']}, not LORA")
        _check_plain(folder, config)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _mismatch(folder, f"{CONFIG_FILE} cannot be read ({error!r})") from error
    if rank < 1 or not math.isfinite(alpha):
        raise _mismatch(folder, f"rank {rank} with lora_alpha {alpha} makes no sense")
    return rank, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _check_plain(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse every setting that makes more of an adapter than ``scale * B @ A``."""
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise _mismatch(folder, f"init_lora_weights {start!r} changes the weights of the model itself")
    for name in sorted(set(config) - _READ - _HARMLESS):
        if config[name] and config[name] != "none":
            raise _mismatch(folder, f"{name} {config[name]!r} is more than plain LoRA")


def _read_pairs(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """A, shape [r, i], and B, shape [o, r], of each adapted layer, by its name in the model."""
    try:
        stored = load_file(folder / TENSORS_FILE)
    except (OSError, SafetensorError) as error:
        raise _mismatch(folder, f"{TENSORS_FILE} cannot be read ({error})") from error
    modules = [name.removesuffix(_A) for name in stored if name.startswith(_PREFIX) and name.endswith(_A)]
    pairs = {module + part for module in modules for part in (_A, _B)}
    if odd := sorted(pairs ^ set(stored)):
        raise _mismatch(folder, f"{TENSORS_FILE} does not consist of pairs of lora_A and lora_B, see {odd[0]}")
    if not modules:
        raise _mismatch(folder, f"{TENSORS_FILE} holds no tensors")
    return {module.removeprefix(_PREFIX): (stored[module + _A], stored[module + _B]) for module in modules}


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)


def _mismatch(folder: Path, reason: str) -> MismatchError:
    return MismatchError(
        f"cannot use the adapter in {folder}: {reason}", "use a plain LoRA adapter trained for this model, or none"
    )
