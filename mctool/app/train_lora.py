"""The use case ``train lora``: an adapter that answers from a window, made from texts with located questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MismatchError, UsageError
from mctool.nets.adapter_card import AdapterCard, base_fingerprint, read_adapter, write_adapter_card
from mctool.nets.hugging_face import read_config
from mctool.nets.model_store import ModelFiles, resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.nets.wheel import file_sha256
from mctool.sources.corpus import Sample, in_dev_split, read_sets
from mctool.training.lora import ADAPTER_FOLDER, LoraTrainer, LoraTraining, Metrics
from mctool.training.rows import Row, read_rows, text_rows, write_rows

ROWS_FILE = "rows.jsonl"
DEV_ROWS_FILE = "dev-rows.jsonl"
RECIPE_FILE = "rows.json"
DEV_TEXT_ROWS = 8
CODE_SHARE = 2
"""Rows of a set of code for each row of another set: there are several sets of prose."""


@dataclass(frozen=True)
class LoraRun:
    """What is trained, on what.

    Attributes:
        data: Data files. Records with questions are asked; those without are plain text to be remembered.
        out: Directory for rows, checkpoints, metrics and the adapter.
        training: How.
        model: The base model.
        device: Where it computes.
        resume: Go on from the checkpoint in ``out``.
        rows_per_set: Most rows of a set.
        dev_rows_per_set: Most rows of a set to measure on.
        text_share: Part of all rows that are plain text.
        seed: Seed of the rows.
        start: Folder of an adapter to begin with, made by this command.
    """

    data: tuple[Path, ...]
    out: Path
    training: LoraTraining
    model: str = DEFAULT_MODEL
    device: str = "auto"
    resume: bool = False
    rows_per_set: int = 1500
    dev_rows_per_set: int = 16
    text_share: float = 0.1
    seed: int = 0
    start: Path | None = None

    def __post_init__(self) -> None:
        if not self.data:
            raise UsageError("there is no data to train on", "give files of records with questions")
        if self.rows_per_set < 1 or self.dev_rows_per_set < 0:
            raise UsageError(f"--rows {self.rows_per_set} is not positive")
        if not 0 <= self.text_share < 1:
            raise UsageError(f"--text-share {self.text_share} is not in [0, 1)")


@dataclass(frozen=True)
class LoraListener:
    """Who is told what: a line when something slow begins, the metrics of each step."""

    report: Callable[[str], None] = field(default=lambda _line: None)
    metrics: Callable[[dict[str, Any]], None] = field(default=lambda _metrics: None)


@dataclass(frozen=True)
class LoraResult:
    """What came of it: where the adapter is, and the measurements before and after."""

    adapter: Path
    before: Metrics
    after: Metrics


def train_lora(run: LoraRun, listener: LoraListener | None = None) -> LoraResult:
    """Train an adapter.

    Rows that are in ``run.out`` already are used again when they were made by the same recipe: they can be made on one
    machine and trained on another, which may lack the data.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is nothing to train on.
        MismatchError: ``--resume`` without a checkpoint that fits, or rows of other data or settings.
        MissingBackendError: The model is not here, or a data file needs a package that is not installed.
    """
    listener = listener or LoraListener()
    files = resolve_model(run.model, report=listener.report)
    tokenizer = TextTokenizer.load(files)
    rows, dev_rows = _rows(run, files, tokenizer, listener.report)
    listener.report(f"{len(rows):,} rows with {sum(len(row.segments) for row in rows):,} questions")
    before_start = 0 if run.start is None else read_adapter(run.start).card.trained_questions
    trainer = LoraTrainer(files, run.training, rows, dev_rows, run.out, run.device, listener.metrics, run.start)
    if run.resume:
        trainer.resume()
    before, after = trainer.run()
    folder = run.out / ADAPTER_FOLDER
    _write_card(folder, run, files, tokenizer, trainer, before_start, after)
    return LoraResult(folder, before, after)


def _write_card(
    folder: Path,
    run: LoraRun,
    files: ModelFiles,
    tokenizer: TextTokenizer,
    trainer: LoraTrainer,
    before_start: int,
    figures: Metrics,
) -> None:
    card = AdapterCard(
        model=files.name,
        tokenizer_sha256=tokenizer.fingerprint,
        base_sha256=base_fingerprint(files),
        rank=run.training.rank,
        trained_questions=before_start + trainer.questions,
        silence=trainer.silence_thresholds(),
        figures=figures,
    )
    write_adapter_card(folder, card)


def _rows(
    run: LoraRun, files: ModelFiles, tokenizer: TextTokenizer, report: Callable[[str], None]
) -> tuple[list[Row], list[Row]]:
    """Rows to train on and rows to measure on, made or read."""
    recipe = _recipe(run, tokenizer)
    made = run.out / RECIPE_FILE
    if made.is_file():
        if not _is_same(json.loads(made.read_text(encoding="utf-8")), recipe):
            raise MismatchError(f"{run.out} holds rows of other data or settings", "give another --out")
        rows = read_rows(run.out / ROWS_FILE)
        report(f"using the {len(rows):,} rows in {run.out}")
        return rows, read_rows(run.out / DEV_ROWS_FILE)
    if run.resume:
        raise MismatchError(f"{run.out} holds no rows to go on with", "leave --resume out")
    sets = read_sets(run.data)
    run.out.mkdir(parents=True, exist_ok=True)
    rows = _make(run, files, sets, tokenizer, report, dev=False)
    dev_rows = _make(run, files, sets, tokenizer, report, dev=True)
    if not rows:
        raise UsageError("no record of the data has a question to train on", "give records with questions")
    write_rows(run.out / ROWS_FILE, rows)
    write_rows(run.out / DEV_ROWS_FILE, dev_rows)
    made.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    return rows, dev_rows


def _recipe(run: LoraRun, tokenizer: TextTokenizer) -> dict[str, Any]:
    kept = ("model", "rows_per_set", "dev_rows_per_set", "text_share", "seed")
    return {
        "data": [path.name for path in run.data],
        "files": [_size_and_sha256(path) for path in run.data],
        "tokenizer": tokenizer.fingerprint,
        **{name: value for name, value in asdict(run).items() if name in kept},
    }


def _size_and_sha256(path: Path) -> dict[str, Any] | None:
    """What tells a data file from others of its name; None where it is not here."""
    try:
        return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    except OSError:
        return None


def _is_same(kept: dict[str, Any], recipe: dict[str, Any]) -> bool:
    """Whether rows were made by a recipe, by all that is known of its files; earlier versions noted names alone."""
    files = kept.get("files") or [None] * len(recipe["files"])
    return {**kept, "files": None} == {**recipe, "files": None} and all(
        before is None or now is None or before == now for before, now in zip(files, recipe["files"], strict=True)
    )


def _make(
    run: LoraRun,
    files: ModelFiles,
    sets: dict[str, list[Sample]],
    tokenizer: TextTokenizer,
    report: Callable[[str], None],
    *,
    dev: bool,
) -> list[Row]:
    # These need trees, which machines that only train may lack.
    from mctool.app.key_nets import KeyNets
    from mctool.app.lenses import Lenses
    from mctool.training.reading_rows import Look, RowLens, reading_rows
    from mctool.tree import Tree

    def look(tree: Tree) -> Look:
        lenses = Lenses(tree, keys, report)
        return lambda question, hits: lenses.choose("hybrid", question, hits)

    keys = KeyNets.find(run.device)
    positions = read_config(files.directory).get_text_config().max_position_embeddings

    rows: list[Row] = []
    texts: list[str] = []
    for name, samples in sets.items():
        mine = [sample for sample in samples if in_dev_split(sample) == dev]
        asked = [sample for sample in mine if sample.questions]
        if not asked:
            texts.extend(document.text for sample in mine for document in sample.documents)
            continue
        n_rows = run.dev_rows_per_set if dev else run.rows_per_set * (CODE_SHARE if _is_code(asked) else 1)
        report(f"{name}: windows for {'measuring' if dev else 'training'}")
        rows.extend(reading_rows(asked, tokenizer, files.name, positions, n_rows, run.seed + dev, RowLens(look, keys)))
    n_text = DEV_TEXT_ROWS if dev else round(len(rows) * run.text_share / (1 - run.text_share))
    return rows + text_rows(texts, tokenizer, n_text, run.seed + 2 + dev)


def _is_code(samples: Sequence[Sample]) -> bool:
    return samples[0].questions[0].any_block
