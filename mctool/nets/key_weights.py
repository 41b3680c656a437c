"""The key encoder on disk: a card (JSON), weights (safetensors) and word pieces (JSON), in ``<root>/lens`` (see
:mod:`mctool.nets.key_folder`).

Matrices are int8 with one fp16 scale a row, which halves fp16 and changes keys by less than their own rounding; all
else is fp16. The encoder belongs to no base model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor

from mctool.core.errors import MismatchError
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.key_folder import CARD_FILE
from mctool.nets.key_net import KeyNet, KeyNetConfig
from mctool.nets.weights_folder import net_mismatch, read_fields, write_fields, write_whole

WEIGHTS_FILE = "keys.safetensors"
PIECES_FILE = "word-pieces.json"
SCALE = ".scale"


@dataclass(frozen=True)
class KeyEncoderCard:
    """What is known of a key encoder.

    Attributes:
        config: Shape of the net.
        figures: Measured figures by name.
        origin: Where its first weights come from, and their licence.
    """

    config: KeyNetConfig
    figures: dict[str, float] = field(default_factory=dict)
    origin: str = ""

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> KeyEncoderCard:
        """Read a card.

        Raises:
            TypeError: A field is unknown or missing.
        """
        return cls(**{**data, "config": KeyNetConfig(**data["config"])})


def read_key_card(folder: Path) -> KeyEncoderCard:
    """Read the card of a key encoder.

    Raises:
        MismatchError: The card is damaged, or was written by a version with other fields.
    """
    try:
        return KeyEncoderCard.from_json(read_fields(folder / CARD_FILE))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise _mismatch(folder, f"{CARD_FILE} cannot be read ({error})") from error


def load_key_encoder(folder: Path, device: torch.device | str = "cpu") -> KeyEncoder:
    """Read a key encoder.

    Raises:
        MismatchError: A file is missing or damaged, or they do not fit each other.
    """
    net, tokenizer, fingerprint = load_key_net(folder)
    return KeyEncoder(net, tokenizer, device, fingerprint)


def load_key_net(folder: Path) -> tuple[KeyNet, Tokenizer, str]:
    """The net of a key encoder, its word pieces and its fingerprint; raises as :func:`load_key_encoder`."""
    card = read_key_card(folder)
    try:
        weights, pieces = (folder / WEIGHTS_FILE).read_bytes(), (folder / PIECES_FILE).read_bytes()
        tokenizer = Tokenizer.from_buffer(pieces)
        net = KeyNet(card.config)  # not on the meta device, which imports for a second to save a tenth of one
        net.load_state_dict(_widened(load(weights)), assign=True)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise _mismatch(folder, f"its files do not hold the net that its card describes ({reason})") from error
    if tokenizer.get_vocab_size() != card.config.vocabulary:
        raise _mismatch(folder, f"{tokenizer.get_vocab_size()} word pieces, not {card.config.vocabulary}")
    digest = hashlib.sha256(json.dumps(asdict(card.config), sort_keys=True).encode() + weights + pieces)
    return net, tokenizer, digest.hexdigest()


def write_key_encoder(folder: Path, net: KeyNet, tokenizer: Tokenizer, card: KeyEncoderCard) -> None:
    """Write a key encoder, the card last, each file whole or not at all.

    Args:
        folder: ``<root>/lens``; made when missing.
        net: The net.
        tokenizer: Its word pieces; it adds no marks, pads nothing and truncates nothing.
        card: What is known of the net.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS_FILE, save(_narrowed(net.state_dict())))
    write_whole(folder / PIECES_FILE, tokenizer.to_str(pretty=False).encode())
    write_fields(folder / CARD_FILE, card.to_json())


def _narrowed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 and scales, all else as float16."""
    narrow: dict[str, Tensor] = {}
    for name, weight in state.items():
        weight = weight.detach().float().cpu()
        if weight.ndim < 2:
            narrow[name] = weight.half()
            continue
        # Not 0: a row of zeros, or one that fp16 has no scale for, shall come back as it is or as zeros.
        scale = (weight.abs().amax(dim=1) / 127).half().clamp_min(torch.finfo(torch.float16).tiny)
        narrow[name] = (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        narrow[name + SCALE] = scale
    return narrow


def _widened(narrow: dict[str, Tensor]) -> dict[str, Tensor]:
    """All in float32; the inverse of :func:`_narrowed` but for rounding."""
    wide: dict[str, Tensor] = {}
    for name, weight in narrow.items():
        if name.endswith(SCALE):
            continue
        wide[name] = weight.float() * narrow[name + SCALE].float()[:, None] if weight.ndim > 1 else weight.float()
    return wide


def _mismatch(folder: Path, reason: str) -> MismatchError:
    return net_mismatch("Key encoder", folder, reason)
