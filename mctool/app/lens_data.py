"""What LensNet is trained and measured on, read from a directory or made and left there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mctool.app.answer_nets import AnswerNets
from mctool.core.errors import MismatchError, UsageError
from mctool.focus.entry_features import NAMES
from mctool.focus.lens import FloatArray
from mctool.focus.scored_lens import CANDIDATES
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.lens_net import UNTRAINED_MIX
from mctool.nets.lens_weights import load_lens_net
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Sample, asked_where, in_dev_split, in_scorer_split, read_sets
from mctool.training.lens_labels import ENTRIES, Labelling, label_figures, labelled_rows
from mctool.training.lens_rows import LensRow, lens_rows, read_lens_rows, write_lens_rows

LENS_ROWS = "lens-rows.npz"
LENS_DEV_ROWS = "lens-dev-rows.npz"
LABELS = "lens-labels.npz"
DEV_LABELS = "lens-dev-labels.npz"
CODE_SHARE = 6
"""Rows of a set of code for each row of another set: there are several sets of prose."""

DEV_LABELS_SHARE = 0.25
"""Labels to measure on, for each to train on."""


@dataclass(frozen=True)
class LensDataRun:
    """Of what rows and labels are made.

    Attributes:
        data: Data files with located questions.
        out: Directory for the rows and labels.
        rows_per_set: Most questions of a set of prose.
        dev_rows_per_set: Most questions of a set to measure on.
        labels: About how many entries get the gain that they are to the reader; 0 for none.
        model: The base model, by whose tokens blocks are counted, and which reads for labels.
        device: Where it and the key encoder compute.
        seed: Seed of all draws.
    """

    data: tuple[Path, ...]
    out: Path
    rows_per_set: int
    dev_rows_per_set: int
    labels: int
    model: str
    device: str
    seed: int


@dataclass(frozen=True)
class LensData:
    """Rows to train and to measure on, and of each kind those with labels.

    Attributes:
        rows: Questions to train on.
        dev_rows: Questions to measure on.
        labelled: Other questions to train on, with the gain of some of their candidates.
        dev_labelled: Such ones to measure on.
    """

    rows: list[LensRow]
    dev_rows: list[LensRow]
    labelled: list[LensRow]
    dev_labelled: list[LensRow]


def lens_data(
    run: LensDataRun, folder: Path, encoder: KeyEncoder, report: Callable[[dict[str, Any]], None]
) -> LensData:
    """Rows and labels; those that lie in ``run.out`` are taken as they are.

    Args:
        run: Of what they are made.
        folder: That of the key encoder.
        encoder: The key encoder.
        report: Is told how many labels were made, and what they are like.

    Raises:
        SourceError: A data file cannot be read.
        MismatchError: What lies in ``run.out`` was made with other features, or a net is damaged or does not fit.
        MissingBackendError: A package or a model is not here.
    """
    maker = _Maker(run, folder, encoder)
    rows = maker.have(LENS_ROWS, lambda: maker.rows(dev=False))
    dev_rows = maker.have(LENS_DEV_ROWS, lambda: maker.rows(dev=True))
    labelled: list[LensRow] = []
    dev_labelled: list[LensRow] = []
    if run.labels:
        dev_labelled = maker.have(DEV_LABELS, lambda: maker.labels(dev=True))
        labelled = maker.have(LABELS, lambda: maker.labels(dev=False))
        maker.forget_parts()
        report({"labels": label_figures(labelled), "dev labels": label_figures(dev_labelled)})
    return LensData(rows, dev_rows, labelled, dev_labelled)


class _Maker:
    """Makes what is not there; data files and the reader are read once, when they are first needed."""

    def __init__(self, run: LensDataRun, folder: Path, encoder: KeyEncoder) -> None:
        self._run, self._folder, self._encoder = run, folder, encoder
        self._sets: dict[str, list[Sample]] | None = None
        self._labelling: Labelling | None = None
        # Another number of labels, or another seed, has other parts.
        self._parts = run.out / f"lens-labels-{run.labels}-{run.seed}.parts"

    def have(self, name: str, make: Callable[[], Sequence[LensRow]]) -> list[LensRow]:
        """The rows of a file, which are made when it is not there."""
        path = self._run.out / name
        if path.is_file():
            try:
                return read_lens_rows(path)
            except (ValueError, OSError, KeyError) as error:
                raise MismatchError(f"{path} cannot be used: {error}", "remove it, or give another --out") from error
        rows = list(make())
        if not rows:
            raise UsageError("there is nothing to train on", "give more data with located questions")
        write_lens_rows(path, rows)
        return rows

    def rows(self, *, dev: bool) -> list[LensRow]:
        """Rows without labels."""
        run, rows = self._run, list[LensRow]()
        tokenizer = TextTokenizer.load(resolve_model(run.model))
        for name, samples in self._read_sets().items():
            asked = _asked(samples, dev)
            n_rows = run.dev_rows_per_set if dev else run.rows_per_set * _weight(samples)
            rows.extend(lens_rows(name, asked, tokenizer, run.model, self._encoder, n_rows, CANDIDATES, run.seed + dev))
        return rows

    def labels(self, *, dev: bool) -> list[LensRow]:
        """Rows with labels, sets of code and of prose in such shares as the rows to train on."""
        run, rows = self._run, list[LensRow]()
        sets = self._read_sets()
        n_labels = run.labels * (DEV_LABELS_SHARE if dev else 1)
        n_questions = n_labels / ENTRIES / sum(_weight(samples) for samples in sets.values())
        parts = self._parts / ("dev" if dev else "train")
        parts.mkdir(parents=True, exist_ok=True)
        for name, samples in sets.items():
            asked = _asked(samples, dev)
            wanted = max(round(n_questions * _weight(samples)), 1)
            rows.extend(labelled_rows(name, asked, self._reader(), wanted, run.seed + 2 + dev, parts))
        return rows

    def forget_parts(self) -> None:
        """Remove what labels were gathered from."""
        for folder in (self._parts / "train", self._parts / "dev", self._parts):
            if folder.is_dir():
                for part in folder.glob("*.npz"):
                    part.unlink()
                folder.rmdir()

    def _read_sets(self) -> dict[str, list[Sample]]:
        if self._sets is None:
            self._sets = read_sets(self._run.data)
        return self._sets

    def _reader(self) -> Labelling:
        """The base model with its adapter, as it answers, and the LensNet in use, by which entries are drawn."""
        if self._labelling is None:
            files = resolve_model(self._run.model)
            tokenizer = TextTokenizer.load(files)
            nets = AnswerNets.of_model(files, tokenizer, self._run.device, "auto", lora=True)
            scorer = load_lens_net(self._folder, NAMES, self._encoder.fingerprint)
            self._labelling = Labelling(
                nets.model, tokenizer, self._run.model, self._encoder, scorer or _fixed_mix, CANDIDATES
            )
        return self._labelling


def _asked(samples: Sequence[Sample], dev: bool) -> list[Sample]:
    """The same samples, without the questions of those that are not for measuring, or not for LensNet."""
    return asked_where(samples, in_dev_split if dev else in_scorer_split)


def _weight(samples: Sequence[Sample]) -> int:
    is_code = any(question.any_block for sample in samples for question in sample.questions)
    return CODE_SHARE if is_code else 1


def _fixed_mix(features: npt.NDArray[np.float32]) -> FloatArray:
    """What an untrained LensNet says."""
    return UNTRAINED_MIX * features[:, 0].astype(np.float64)
