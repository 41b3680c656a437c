"""LensNet on disk: a card (JSON) and weights (safetensors, fp16), beside the key encoder that it was trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from mctool.core.errors import MismatchError
from mctool.nets.lens_net import LensNet, LensNetConfig
from mctool.nets.weights_folder import net_mismatch, read_fields, write_fields, write_whole

CARD_FILE = "lensnet.json"
WEIGHTS_FILE = "lensnet.safetensors"


@dataclass(frozen=True)
class LensNetCard:
    """What is known of a LensNet.

    Attributes:
        config: Its shape.
        features: What it sees of an entry, in order.
        encoder: Fingerprint of the key encoder whose keys it has learned to trust.
        candidates: Most entries that it looked at.
        trained_questions: Questions it was trained on.
        figures: Measured figures by name.
    """

    config: LensNetConfig
    features: tuple[str, ...]
    encoder: str
    candidates: int
    trained_questions: int = 0
    figures: dict[str, float] = field(default_factory=dict)


class LensScorer:
    """A LensNet at work, on the CPU, where a question takes it milliseconds."""

    def __init__(self, net: LensNet, card: LensNetCard) -> None:
        """Take a net and its card."""
        self._net = net.eval().requires_grad_(False)
        self.card = card

    @torch.inference_mode()
    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Scores of the entries of one question, comparable among each other alone. Shapes: [n, F] -> [n]."""
        if not len(features):
            return np.zeros(0)
        absent = torch.zeros(1, len(features), dtype=torch.bool)
        return self._net(torch.from_numpy(features)[None], absent)[0].double().numpy()


def load_lens_net(folder: Path, features: tuple[str, ...], encoder: str) -> LensScorer | None:
    """The LensNet in a folder; None where there is none.

    Args:
        folder: That of the key encoder.
        features: What the program can show it of an entry.
        encoder: Fingerprint of the key encoder.

    Raises:
        MismatchError: It is damaged, or was trained with other features or another key encoder.
    """
    if not (folder / CARD_FILE).is_file():
        return None
    try:
        fields = read_fields(folder / CARD_FILE)
        config = LensNetConfig(**fields.pop("config"))
        card = LensNetCard(config, tuple(fields.pop("features")), **fields)
        net = LensNet(config)
        net.load_state_dict({name: weight.float() for name, weight in load_file(folder / WEIGHTS_FILE).items()})
    except (OSError, ValueError, TypeError, KeyError, SafetensorError, RuntimeError) as error:
        raise _mismatch(folder, f"its files cannot be read ({str(error).splitlines()[0]})") from error
    if card.features != features:
        raise _mismatch(folder, "it was trained with other features of entries")
    if card.encoder != encoder:
        raise _mismatch(folder, f"it was trained with key encoder {card.encoder[:12]}, this one is {encoder[:12]}")
    return LensScorer(net, card)


def write_lens_net(folder: Path, net: LensNet, card: LensNetCard) -> None:
    """Write a LensNet, the card last, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS_FILE, save({name: weight.half() for name, weight in net.state_dict().items()}))
    write_fields(folder / CARD_FILE, asdict(card))


def _mismatch(folder: Path, reason: str) -> MismatchError:
    return net_mismatch("LensNet", folder, reason)
