"""The GistNet that belongs to a base model, with a card (JSON) and weights (safetensors).

A model's folder (see :mod:`mctool.nets.weights_folder`) holds ``gistnet.json``, and ``gistnet.safetensors`` once the
net was trained; an untrained net is built from the base's embedding table instead, the same everywhere. No card for a
model means: no gists for it.
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
from torch import Tensor, nn

from mctool.core.errors import MismatchError
from mctool.nets.degistnet import DeGistNet
from mctool.nets.gistnet import GistNet, GistNetConfig
from mctool.nets.weights_folder import find_card, net_mismatch, read_fields, write_fields, write_whole

CARD_FILE = "gistnet.json"
WEIGHTS_FILE = "gistnet.safetensors"
DEGIST_FILE = "degistnet.safetensors"

UNTRAINED = b"untrained-1"
"""Stands for the weights in the fingerprint of an untrained net; to be changed with what an untrained net gives."""


@dataclass(frozen=True)
class GistNetCard:
    """What is known of a GistNet.

    Attributes:
        model: Name of the base model.
        tokenizer_sha256: Fingerprint of the tokenizer whose ids number the embedding table.
        base_width: D of the base model.
        n_special: Leading token ids that are special tokens.
        config: Shape of the net.
        trained_tokens: Tokens it was trained on; 0 = the untrained net, which has no weights file.
        window_gists: How many gists may enter a window without harm to the reader; 0 = none.
        figures: Measured figures by name.
        curve: The same at several times of its training.
    """

    model: str
    tokenizer_sha256: str
    base_width: int
    n_special: int
    config: GistNetConfig
    trained_tokens: int = 0
    window_gists: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("n_special", "trained_tokens", "window_gists"):
            if getattr(self, name) < 0:
                raise MismatchError(f"GistNet card for {self.model}: {name} {getattr(self, name)} is negative")

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GistNetCard:
        """Read a card.

        Raises:
            TypeError: A field is unknown or missing.
        """
        return cls(**{**data, "config": GistNetConfig(**data["config"])})


@dataclass(frozen=True)
class LoadedGistNet:
    """A GistNet ready to make gists.

    Attributes:
        net: The net in evaluation mode, on its device.
        card: Its card.
        fingerprint: Names exactly this net; a tree keeps it, to tell which net made its gists.
    """

    net: GistNet
    card: GistNetCard
    fingerprint: str


def load_gistnet(
    model_name: str, table: Tensor, device: torch.device | str = "cpu", tokenizer_sha256: str | None = None
) -> LoadedGistNet | None:
    """Load the GistNet of a base model.

    Args:
        model_name: Name of the base model, as records show it.
        table: Embeddings of the base model. Shape: [V, D].
        device: Where the net is to run.
        tokenizer_sha256: Fingerprint of the tokenizer in use; None is not checked.

    Returns:
        The net, or None when nothing is known of one for this model.

    Raises:
        MismatchError: The card or the weights are damaged, or do not fit the base model or its tokenizer.
    """
    folder = find_folder(model_name)
    if folder is None:
        return None
    card = read_card(folder)
    if card.base_width != table.shape[1]:
        raise _mismatch(folder, f"made for embeddings of width {card.base_width}, the model has {table.shape[1]}")
    if tokenizer_sha256 not in (None, card.tokenizer_sha256):
        raise _mismatch(
            folder, f"made for tokenizer {card.tokenizer_sha256[:12]}, the model has {tokenizer_sha256[:12]}"
        )
    if card.trained_tokens:
        weights = _read_weights(folder)
        net = GistNet(card.base_width, card.config)
        _fill(net, weights, folder)
    else:
        weights = UNTRAINED
        net = GistNet.for_embeddings(table, card.config, n_special=card.n_special)
    return LoadedGistNet(net.to(device).eval().requires_grad_(False), card, _fingerprint(card, weights))


def find_folder(model_name: str) -> Path | None:
    """The folder with the card for a model: under $MCTOOL_WEIGHTS, else in the package, else None.

    Raises:
        MismatchError: $MCTOOL_WEIGHTS names no directory.
    """
    card = find_card(model_name, CARD_FILE)
    return card.parent if card else None


def read_card(folder: Path) -> GistNetCard:
    """Read the card in a model's folder.

    Raises:
        MismatchError: The card is damaged, or was written by a version with other fields.
    """
    try:
        return GistNetCard.from_json(read_fields(folder / CARD_FILE))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise _mismatch(folder, f"{CARD_FILE} cannot be read ({error})") from error


def write_gistnet(folder: Path, net: GistNet, card: GistNetCard) -> None:
    """Write a net and its card into a model's folder, the card last, each file whole or not at all.

    Args:
        folder: ``<root>/<model>``; made when missing.
        net: Written only when the card says that it was trained.
        card: What is known of the net.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if card.trained_tokens:
        write_whole(folder / WEIGHTS_FILE, save(_half(net)))
    write_fields(folder / CARD_FILE, card.to_json())


def write_degistnet(folder: Path, net: DeGistNet) -> None:
    """Write the net that takes the gists of a model's GistNet apart into the model's folder, which exists."""
    write_whole(folder / DEGIST_FILE, save(_half(net)))


def _half(net: nn.Module) -> dict[str, Tensor]:
    """The weights of a net in float16: the loss is far below what a gist loses in a tree, which keeps float16 too."""
    return {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in net.state_dict().items()}


def _read_weights(folder: Path) -> bytes:
    try:
        return (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise _mismatch(folder, f"{WEIGHTS_FILE} cannot be read ({error.strerror})") from error


def _fill(net: GistNet, weights: bytes, folder: Path) -> None:
    try:
        net.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise _mismatch(folder, f"{WEIGHTS_FILE} does not hold the net that its card describes ({reason})") from error


def _fingerprint(card: GistNetCard, weights: bytes) -> str:
    described = {"model": card.model, "base_width": card.base_width, "config": asdict(card.config)}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(weights)
    return digest.hexdigest()


def _mismatch(folder: Path, reason: str) -> MismatchError:
    return net_mismatch("GistNet", folder, reason)
