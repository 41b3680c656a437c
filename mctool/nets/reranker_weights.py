"""The reranker on disk: a card (JSON) and its additions (safetensors, fp16), beside the key encoder it adds to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from mctool.core.errors import MismatchError
from mctool.nets.key_weights import load_key_net
from mctool.nets.reranker import Reranker, RerankerConfig, RerankerNet
from mctool.nets.weights_folder import net_mismatch, read_fields, write_fields, write_whole

CARD_FILE = "reranker.json"
WEIGHTS_FILE = "reranker.safetensors"


@dataclass(frozen=True)
class RerankerCard:
    """What is known of a reranker.

    Attributes:
        config: Its shape.
        encoder: Fingerprint of the key encoder that it adds to.
        trained_questions: Questions it was trained on.
        figures: Measured figures by name.
    """

    config: RerankerConfig
    encoder: str
    trained_questions: int = 0
    figures: dict[str, float] = field(default_factory=dict)


def load_reranker(folder: Path, device: torch.device | str = "cpu") -> Reranker | None:
    """The reranker in the folder of a key encoder; None where there is none.

    Raises:
        MismatchError: It is damaged, or was trained with another key encoder; or the key encoder is damaged.
    """
    if not (folder / CARD_FILE).is_file():
        return None
    key_net, tokenizer, fingerprint = load_key_net(folder)
    try:
        fields = read_fields(folder / CARD_FILE)
        card = RerankerCard(RerankerConfig(**fields.pop("config")), **fields)
        net = RerankerNet(key_net, card.config)
        held = load_file(folder / WEIGHTS_FILE)
        additions = net.additions()
        if held.keys() != additions.keys():
            raise ValueError("it holds other weights than its card describes")
        with torch.no_grad():
            for name, weight in additions.items():
                weight.copy_(held[name])
    except (OSError, ValueError, TypeError, KeyError, SafetensorError, RuntimeError, MismatchError) as error:
        raise _mismatch(folder, f"its files cannot be read ({str(error).splitlines()[0]})") from error
    if card.encoder != fingerprint:
        raise _mismatch(folder, f"it was trained with key encoder {card.encoder[:12]}, this one is {fingerprint[:12]}")
    return Reranker(net, tokenizer, device)


def write_reranker(folder: Path, net: RerankerNet, card: RerankerCard) -> None:
    """Write a reranker whose additions are not merged, the card last, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    additions = {name: weight.detach().half().cpu().contiguous() for name, weight in net.additions().items()}
    write_whole(folder / WEIGHTS_FILE, save(additions))
    write_fields(folder / CARD_FILE, asdict(card))


def _mismatch(folder: Path, reason: str) -> MismatchError:
    return net_mismatch("Reranker", folder, reason)
