"""A LoRA adapter with random weights for the tiny model."""

import json
from pathlib import Path

from mctool.nets.adapter_card import AdapterCard, base_fingerprint, write_adapter_card
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

ALWAYS, NEVER = -1e9, 1e9
"""Thresholds of silence at which every question is refused, and none."""


def tiny_card(model_dir: Path, short: float = NEVER, long: float = NEVER) -> AdapterCard:
    """The card of an adapter for the tiny model that refuses above the given log odds of silence."""
    files = ModelFiles(model_dir.name, model_dir)
    return AdapterCard(
        model=files.name,
        tokenizer_sha256=TextTokenizer.load(files).fingerprint,
        base_sha256=base_fingerprint(files),
        rank=4,
        trained_questions=0,
        silence={"short": short, "long": long, "code": short},
    )


def write_tiny_adapter(root: Path, model_dir: Path, short: float = NEVER, long: float = NEVER) -> Path:
    """Write an adapter for the tiny model below a root of nets; returns its folder."""
    import torch
    from safetensors.torch import save_file

    folder = root / model_dir.name / "lora"
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    layer = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    tensors = {}
    for number in range(2):
        tensors[layer.format(number, "A")] = torch.randn(4, 64, generator=generator)
        tensors[layer.format(number, "B")] = torch.randn(64, 4, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    write_adapter_card(folder, tiny_card(model_dir, short, long))
    return folder
