"""The use case ``evaluate needle``: is one made-up sentence found in a long text, wherever it stands?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Literal, get_args

import numpy as np

from mctool.app.ask import Reader
from mctool.app.evaluate.answer_questions import Asked
from mctool.app.evaluate.answer_score import words
from mctool.app.evaluate.answer_systems import Site, open_system
from mctool.app.evaluate.answer_windows import ChunkRankings, RawWindows
from mctool.app.evaluate.haystack import Haystack, Trial, cut_pages, hide, shows
from mctool.app.evaluate.measured_nets import MeasuredNets
from mctool.app.evaluate.needle_facts import KINDS, NeedleKind, make_needle, require_kind
from mctool.app.evaluate.sets import Listener
from mctool.app.evaluate.standard_library import SET_NAME, docstrings
from mctool.app.evaluate.texts import read_texts
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.core.config import DEFAULT_MODEL, AskConfig, FocusConfig, LensName
from mctool.core.errors import UsageError
from mctool.core.records import AskReport, Record
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import SampleDocument, TokenDocument
from mctool.tree import Tree

HaystackText = Literal["docstrings", "sources"]
TOKENS = (4_000, 16_000, 64_000, 128_000)
RAG = "bm25 1024"
"""The system of ``evaluate answers`` that is measured beside mctool."""

DEPTHS = (0.0, 25.0, 50.0, 75.0, 100.0)


@dataclass(frozen=True)
class NeedleConfig:
    """What is measured.

    Attributes:
        data: Data files whose texts are the haystack; none for Python's standard library.
        haystack: What of the standard library: its ``docstrings``, which are prose, or its ``sources``.
        tokens: Lengths of the haystack.
        depths: Where the needle stands, in per cent of the tokens.
        kinds: What is hidden.
        lens: Which lens looks for them; the lexical one needs no lens keys, so that long texts take less time.
        samples: Needles of each kind at each depth of each length.
        model: The base model.
        device: Where it computes.
        dtype: Number type of its weights.
        lora: Answer with the adapter that is known for the model.
        max_new_tokens: Most tokens of an answer.
        rag: Let the same model answer from the best BM25 chunks, too.
        seed: Seed of all draws.
    """

    data: tuple[Path, ...] = ()
    haystack: HaystackText = "docstrings"
    tokens: tuple[int, ...] = TOKENS
    depths: tuple[float, ...] = DEPTHS
    kinds: tuple[NeedleKind, ...] = KINDS
    lens: LensName = AskConfig.lens
    samples: int = 2
    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    lora: bool = True
    max_new_tokens: int = 32
    rag: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.haystack not in get_args(HaystackText):
            raise UsageError(f"--haystack {self.haystack} is not one of {', '.join(get_args(HaystackText))}")
        for length in self.tokens:
            if length < 1:
                raise UsageError(f"--tokens {length} is not positive")
        for depth in self.depths:
            if not 0 <= depth <= 100:
                raise UsageError(f"--depth {depth:g} is not between 0 and 100 per cent")
        for kind in self.kinds:
            require_kind(kind)
        AskConfig(lens=self.lens)  # refuses other names
        if self.samples < 1:
            raise UsageError(f"--samples {self.samples} is not positive")
        if self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens} is not positive")


@dataclass(frozen=True)
class NeedleRow(Record):
    """The needles of one kind at one depth of one length.

    ``opened`` is the share whose answer, and every sentence that leads to it, was raw in the window when the answer
    ended; ``correct`` the share that was answered right, ``rag_correct`` that which the same model answers right from
    the best BM25 chunks at 1,024 tokens (None when not measured); ``depth`` is in per cent. ``seconds`` is the median
    time of a question without loading.
    """

    tokens: int
    depth: float
    opened: float
    correct: float
    kind: str
    n: int
    seconds: float
    rag_correct: float | None = None


@dataclass(frozen=True)
class NeedleDetail(Record):
    """One needle, and what became of it."""

    tokens: int
    depth: float
    kind: str
    question: str
    gold: str
    answer: str
    supported: bool
    opened: bool
    correct: bool
    seconds: float
    rag_answer: str | None = None


@dataclass(frozen=True)
class NeedleEvaluation(Record):
    """Result of ``mctool evaluate needle``; ``details`` are all needles, row by row."""

    rows: list[NeedleRow]
    haystack: str
    model: str
    adapter: str | None
    details: list[NeedleDetail]


def evaluate_needle(config: NeedleConfig, listener: Listener | None = None) -> NeedleEvaluation:
    """Hide needles and ask for them, one at a time, by all of the way that ``ask`` goes.

    Args:
        config: What is measured.
        listener: Who is told of the progress.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is no text to hide anything in.
        MissingBackendError: The model, or what a data file needs, is not here.
        MismatchError: The adapter cannot be used with the model.
    """
    return _Run(config, listener or Listener()).run()


def is_right(answer: str, gold: str) -> bool:
    """Whether an answer holds the words of the right one, in a row."""
    found, wanted = words(answer), words(gold)
    return any(found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1))


def _texts(config: NeedleConfig) -> dict[str, list[SampleDocument]]:
    """The text that needles are hidden in, by the name of its set."""
    if config.data or config.haystack == "sources":
        return read_texts(config.data)
    return {f"docstrings of the {SET_NAME}": docstrings()}


class _Run:
    """One measurement, and what it needs throughout."""

    def __init__(self, config: NeedleConfig, listener: Listener) -> None:
        self._config, self._listener = config, listener
        sets = _texts(config)
        self._name = ", ".join(sets)
        self._documents = [document for documents in sets.values() for document in documents if document.text]
        if not self._documents:
            raise UsageError("--data holds no text", "give files with text")
        files = resolve_model(config.model, report=listener.report)
        self._tokenizer = TextTokenizer.load(files)
        self._nets = MeasuredNets.of_model(files, self._tokenizer, config.device, config.dtype, config.lora)
        self._key_nets = None if config.lens == "lexical" else KeyNets.find(config.device)
        self._ask_config = AskConfig(lens=config.lens, max_new_tokens=config.max_new_tokens)
        self._done = 0

    def run(self) -> NeedleEvaluation:
        config = self._config
        adapter = self._nets.adapter.fingerprint if self._nets.adapter else None
        result = NeedleEvaluation([], self._name, self._nets.files.name, adapter, [])
        for n_tokens in config.tokens:
            self._measure(n_tokens, result)
        return result

    def _measure(self, n_tokens: int, result: NeedleEvaluation) -> None:
        """All needles in a text of one length."""
        config = self._config
        pages = cut_pages(self._shuffled(), self._tokenizer.encode_with_offsets, n_tokens)
        cells = [(kind, depth) for kind in config.kinds for depth in config.depths]
        trials = {cell: [self._trial(pages, n_tokens, *cell, n) for n in range(config.samples)] for cell in cells}
        total = sum(len(page.ids) for page in pages)
        self._listener.report(f"a text of {total:,} tokens, {len(cells) * config.samples} needles")
        every = [trial for of_cell in trials.values() for trial in of_cell]
        with Haystack(pages, every, self._nets.files.name, self._tokenizer, self._key_nets) as haystack:
            for (kind, depth), of_cell in trials.items():
                details = [self._ask(haystack, trial, n_tokens, depth) for trial in of_cell]
                result.details.extend(details)
                result.rows.append(
                    NeedleRow(
                        tokens=n_tokens, depth=depth, opened=fmean(one.opened for one in details),
                        correct=fmean(one.correct for one in details), kind=kind, n=len(details),
                        seconds=median(one.seconds for one in details), rag_correct=_rag_share(details),
                    )
                )  # fmt: skip

    def _shuffled(self) -> list[SampleDocument]:
        order = np.random.default_rng(self._config.seed).permutation(len(self._documents))
        return [self._documents[place] for place in order.tolist()]

    def _trial(
        self, pages: Sequence[TokenDocument], n_tokens: int, kind: NeedleKind, depth: float, sample: int
    ) -> Trial:
        """A needle that is the same whatever else is measured."""
        rng = np.random.default_rng([self._config.seed, KINDS.index(kind), n_tokens, round(depth * 1000), sample])
        return hide(make_needle(kind, rng), pages, depth / 100, rng)

    def _ask(self, haystack: Haystack, trial: Trial, n_tokens: int, depth: float) -> NeedleDetail:
        """Ask for one needle in a tree of its own."""
        nets, needle = self._nets, trial.needle
        with (
            haystack.tree_of(trial) as place,
            Reader(place, self._config.model, self._config.device, nets=nets, report=self._listener.report) as reader,
        ):
            focus = FocusConfig(w_max=reader.default_w_max)
            report = reader.ask(needle.question, replace(self._ask_config, focus=focus))
            rag_answer = self._answer_of_rag(reader.tree, needle.question) if self._config.rag else None
        self._done += 1
        cells = len(self._config.tokens) * len(self._config.kinds) * len(self._config.depths)
        self._listener.progress(self._done, cells * self._config.samples)
        return NeedleDetail(
            tokens=n_tokens, depth=depth, kind=needle.kind, question=needle.question, gold=needle.answer,
            answer=report.answer if report.supported else "", supported=report.supported,
            opened=_is_open(report, haystack, trial),
            correct=report.supported and is_right(report.answer, needle.answer),
            seconds=report.seconds.total - report.seconds.load, rag_answer=rag_answer,
        )  # fmt: skip

    def _answer_of_rag(self, tree: Tree, question: str) -> str:
        """What the same model answers from the best BM25 chunks; empty when it refuses."""
        asked, most = Asked(question, "answerable"), self._config.max_new_tokens
        site = Site(
            tree, self._config.model, [asked], RawWindows(tree, self._tokenizer), ChunkRankings(tree, None),
            Lenses(tree, None, self._listener.report), answer_tokens=most, max_new_tokens=most,
        )  # fmt: skip
        with open_system(RAG, self._nets, site) as system:
            return system.answer(asked, []).answer


def _rag_share(details: Sequence[NeedleDetail]) -> float | None:
    answers = [(one.rag_answer, one.gold) for one in details if one.rag_answer is not None]
    return fmean(is_right(answer, gold) for answer, gold in answers) if answers else None


def _is_open(report: AskReport, haystack: Haystack, trial: Trial) -> bool:
    """Whether the last window showed the answer, and every sentence that leads to it, as raw text."""
    raw = [(one.path, one.start_char, one.end_char) for one in report.focus.entries if one.lod == 0]
    return all(shows(raw, haystack.path_of(one.page, trial), one.start, one.end) for one in trial.needed)
