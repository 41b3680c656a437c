"""The use cases ``train gist`` and ``train degist``: nets that make gists and take them apart, made from any text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mctool.app.evaluate.substitution import domain_of
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MismatchError, UsageError
from mctool.nets.checkpoint import load_embedding_table
from mctool.nets.gistnet import GistNet, GistNetConfig
from mctool.nets.model_store import ModelFiles, resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.nets.weights import GistNetCard, find_folder, load_gistnet, read_card, write_degistnet, write_gistnet
from mctool.sources.corpus import in_dev_split, read_records, read_sample
from mctool.training.gist_loop import GistTrainer, GistTraining
from mctool.training.gist_measure import GistMetrics
from mctool.training.gist_texts import GistTexts, read_texts, write_texts

TRAIN_FOLDER, DEV_FOLDER = "texts", "dev-texts"
MIN_TOKENS = 256
"""Shorter documents are left out."""


@dataclass(frozen=True)
class GistRun:
    """What is trained, on what.

    Attributes:
        data: Data files of any text; questions in them are ignored.
        out: Directory for texts, checkpoints, metrics and the net.
        training: How.
        model: The base model.
        device: Where it computes.
        resume: Go on from the checkpoint in ``out``.
        start: Begin with the net that is in use, instead of an untrained one.
        shape: Shape of a new net.
    """

    data: tuple[Path, ...]
    out: Path
    training: GistTraining
    model: str = DEFAULT_MODEL
    device: str = "auto"
    resume: bool = False
    start: bool = False
    shape: GistNetConfig = field(default_factory=GistNetConfig)

    def __post_init__(self) -> None:
        if not self.data:
            raise UsageError("there is no data to train on", "give files of records with text")

    @property
    def only_degist(self) -> bool:
        """Whether the GistNet stays as it is."""
        return all(stage.kind == "degist" for stage in self.training.stages)


@dataclass(frozen=True)
class GistListener:
    """Who is told what: a line when something slow begins, the metrics of each step."""

    report: Callable[[str], None] = field(default=lambda _line: None)
    metrics: Callable[[dict[str, Any]], None] = field(default=lambda _metrics: None)


@dataclass(frozen=True)
class GistResult:
    """What came of it: the folder of the net, and all measurements by tokens trained on."""

    folder: Path
    curve: list[GistMetrics]


def train_gist(run: GistRun, listener: GistListener | None = None) -> GistResult:
    """Train a GistNet, and a DeGistNet beside it.

    Texts that are in ``run.out`` already are used again when they were made of the same data: they can be made on one
    machine and trained on another.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is nothing to train on.
        MismatchError: ``--resume`` without a checkpoint that fits, or texts of other data.
        MissingBackendError: The model is not here, or a data file needs a package that is not installed.
    """
    listener = listener or GistListener()
    files = resolve_model(run.model, report=listener.report)
    tokenizer = TextTokenizer.load(files)
    texts, dev_texts = (_texts(run, tokenizer, listener.report, dev=dev) for dev in (False, True))
    listener.report(f"{texts.n_tokens:,} tokens to train on, {dev_texts.n_tokens:,} to measure on")
    net, card = _first_net(run, files, tokenizer)
    trainer = GistTrainer(files, net, run.training, texts, dev_texts, run.out, run.device, listener.metrics)
    if run.resume:
        trainer.resume()
    trainer.run()
    figures = {name: float(value) for name, value in trainer.curve[-1].items()}
    trained = GistNetCard(
        model=files.name,
        tokenizer_sha256=tokenizer.fingerprint,
        base_width=net.base_width,
        n_special=card.n_special,
        config=net.config,
        trained_tokens=card.trained_tokens + (0 if run.only_degist else trainer.tokens),
        window_gists=card.window_gists,
        figures=figures,
        curve=card.curve if run.only_degist else trainer.curve,
    )
    folder = run.out / files.name.replace("/", "--")
    write_gistnet(folder, trainer.net.eval(), trained)
    write_degistnet(folder, trainer.degist)
    return GistResult(folder, trainer.curve)


def _first_net(run: GistRun, files: ModelFiles, tokenizer: TextTokenizer) -> tuple[GistNet, GistNetCard]:
    """The net to begin with, and a card for it."""
    table = load_embedding_table(files)
    folder = find_folder(files.name)
    if run.start:
        loaded = load_gistnet(files.name, table, tokenizer_sha256=tokenizer.fingerprint)
        if loaded is None:
            raise MismatchError(f"there is no GistNet for {files.name} to begin with", "train one: `mctool train gist`")
        return loaded.net, loaded.card
    n_special = read_card(folder).n_special if folder else 0
    card = GistNetCard(files.name, tokenizer.fingerprint, table.shape[1], n_special, run.shape)
    return GistNet.for_embeddings(table, run.shape, run.training.seed, n_special), card


def _texts(run: GistRun, tokenizer: TextTokenizer, report: Callable[[str], None], *, dev: bool) -> GistTexts:
    """Texts to train on, or to measure on, made or read."""
    folder = run.out / (DEV_FOLDER if dev else TRAIN_FOLDER)
    recipe = {"data": [path.name for path in run.data], "tokenizer": tokenizer.fingerprint}
    if (kept := read_texts(folder, recipe)) is not None:
        return kept
    domains: dict[str, list[Any]] = {}
    for path in run.data:
        report(f"reading {path.name} to {'measure' if dev else 'train'} on")
        for record in read_records(path):
            sample = read_sample({**record, "questions": ()}, path)
            if in_dev_split(sample) != dev:
                continue
            ids = [tokenizer.encode_with_offsets(document.text)[0] for document in sample.documents]
            long = [some.astype(np.uint32) for some in ids if len(some) >= MIN_TOKENS]
            domains.setdefault(domain_of(str(record.get("dataset") or path.name)), []).extend(long)
    folder.mkdir(parents=True, exist_ok=True)
    texts = GistTexts(domains)
    write_texts(folder, texts, recipe)
    return texts
