"""The use case ``evaluate focus``: does the lens open the blocks that hold the answer?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mctool.app.evaluate.focus_loop import LoopMeter, LoopRow
from mctool.app.evaluate.overlap import ThirdRow, lexical_overlap, rows_by_third
from mctool.app.evaluate.sets import Listener, Split, asked_in, chosen_sets, load_minilm, require_split
from mctool.app.evaluate.signals import Signal, TreeBlocks, make_signals
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import UsageError
from mctool.core.records import Record
from mctool.core.timeline import IntArray
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, Sample, pack
from mctool.training.packed_tree import answer_blocks, packed_tree

BUDGETS = (128, 256, 512, 1024, 2048)


@dataclass(frozen=True)
class FocusEvaluationConfig:
    """What is measured.

    Attributes:
        data: Data files; none for lookups in Python's standard library.
        sets: Only sets whose name contains one of these; none for all.
        split: Only questions of records on this side are asked; the others fill trees all the same.
        tree_tokens: Most tokens of a tree.
        per_tree: Most questions to one tree.
        questions: Most questions to one set.
        budgets: Raw tokens that a window may show.
        model: Whose tokens are counted.
        minilm: Measure MiniLM too, where it is installed.
        seed: Seed of all draws.
        documented: Ask for functions that have kept their docstrings, in place of the questions of the data.
    """

    data: tuple[Path, ...] = ()
    sets: tuple[str, ...] = ()
    split: Split = "all"
    tree_tokens: int = 140_000
    per_tree: int = 60
    questions: int = 240
    budgets: tuple[int, ...] = BUDGETS
    model: str = DEFAULT_MODEL
    minilm: bool = True
    seed: int = 0
    documented: bool = False

    def __post_init__(self) -> None:
        require_split(self.split)
        for name, value in (("tree-tokens", self.tree_tokens), ("per-tree", self.per_tree)):
            if value < 1:
                raise UsageError(f"--{name} {value} is not positive")
        if self.questions < 1:
            raise UsageError(f"--questions {self.questions} is not positive")
        if not self.budgets or min(self.budgets) < 1:
            raise UsageError(f"budgets {list(self.budgets)} are not all positive")


@dataclass(frozen=True)
class FocusRow(Record):
    """One signal at one budget: the share of questions whose answer was shown.

    ``mrr`` is the mean reciprocal rank of the first block of the answer, the same at every budget; ``seconds`` is the
    median time for one question.
    """

    set: str
    signal: str
    budget: int
    recall: float
    se: float
    n: int
    mrr: float
    seconds: float


@dataclass(frozen=True)
class FocusSet(Record):
    """What a set was measured on."""

    set: str
    trees: int
    tokens: int
    questions: int


@dataclass(frozen=True)
class FocusEvaluation(Record):
    """Result of ``mctool evaluate focus``; ``thirds`` are measured at the middle one of the budgets."""

    rows: list[FocusRow]
    sets: list[FocusSet]
    thirds: list[ThirdRow] = field(default_factory=list)
    loops: list[LoopRow] = field(default_factory=list)


@dataclass
class _Tally:
    """What one signal got at one budget, question by question."""

    found: list[bool] = field(default_factory=list)
    reciprocal_ranks: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def row(self, name: str, signal: str, budget: int) -> FocusRow:
        recall, n = float(np.mean(self.found)), len(self.found)
        return FocusRow(
            set=name, signal=signal, budget=budget, recall=recall, se=float(np.sqrt(recall * (1 - recall) / n)), n=n,
            mrr=float(np.mean(self.reciprocal_ranks)), seconds=float(np.median(self.seconds)),
        )  # fmt: skip


def evaluate_focus(config: FocusEvaluationConfig, listener: Listener | None = None) -> FocusEvaluation:
    """Measure recall of located answers.

    Args:
        config: What is measured.
        listener: Who is told of the progress.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: No set fits, or one has no questions with a place.
        MissingBackendError: The model, or what a data file needs, is not here.
    """
    return _Run(config, listener or Listener()).run()


class _Run:
    """One measurement, and what it needs throughout."""

    def __init__(self, config: FocusEvaluationConfig, listener: Listener) -> None:
        self._config = config
        self._listener = listener
        self._sets = chosen_sets(config.data, config.sets, config.documented)
        self._tokenizer = TextTokenizer.load(resolve_model(config.model, report=listener.report))
        self._minilm = load_minilm() if config.minilm else None
        self._key_nets = KeyNets.find("auto")
        self._done = 0

    def run(self) -> FocusEvaluation:
        result = FocusEvaluation([], [])
        for name, samples in self._sets.items():
            tallies: dict[tuple[str, int], _Tally] = {}
            overlaps: list[float] = []
            meter = LoopMeter(self._tokenizer, self._key_nets)
            trees = tokens = questions = 0
            for one in self._packs(samples):
                slow = "; MiniLM reads it, which takes minutes (--no-minilm)" if self._minilm else ""
                self._listener.report(
                    f"{name}: a tree of {one.n_tokens:,} tokens, {len(one.questions)} questions{slow}"
                )
                self._measure(one, tallies, overlaps, meter)
                trees, tokens, questions = trees + 1, tokens + one.n_tokens, questions + len(one.questions)
            if not questions:
                raise UsageError(f"{name} has no questions with a place", "choose other sets with --set")
            result.rows.extend(tally.row(name, *key) for key, tally in tallies.items())
            result.sets.append(FocusSet(name, trees, tokens, questions))
            middle = sorted(self._config.budgets)[len(self._config.budgets) // 2]
            found = {signal: tally.found for (signal, budget), tally in tallies.items() if budget == middle}
            result.thirds.extend(rows_by_third(name, middle, overlaps, found))
            result.loops.append(meter.row(name))
        return result

    def _packs(self, samples: list[Sample]) -> Iterator[Pack]:
        """Packs with the questions that are asked, until there are enough of these."""
        rng = np.random.default_rng(self._config.seed)
        left = self._config.questions
        asked = asked_in(samples, self._config.split)
        for one in pack(asked, self._tokenizer.encode_with_offsets, self._config.tree_tokens, self._config.seed):
            quoted = [question for question in one.questions if question.quoted]
            n_asked = min(len(quoted), self._config.per_tree, left)
            if n_asked:
                chosen = rng.choice(len(quoted), n_asked, replace=False)
                yield Pack(one.documents, [quoted[place] for place in chosen.tolist()])
            left -= n_asked
            if not left:
                return

    def _measure(
        self, one: Pack, tallies: dict[tuple[str, int], _Tally], overlaps: list[float], meter: LoopMeter
    ) -> None:
        """Ask all signals all questions about one tree, and run the loop for each."""
        config = self._config
        with packed_tree(one, config.model, self._tokenizer, self._key_nets) as tree:
            answers = [answer_blocks(tree, question) for question in one.questions]
            lenses = Lenses(tree, self._key_nets, self._listener.report)
            blocks = TreeBlocks.of(tree)
            overlaps.extend(
                lexical_overlap(question.text, [blocks.texts[rank] for rank in answer.tolist()])
                for question, answer in zip(one.questions, answers, strict=True)
            )
            meter.measure(tree, lenses, one.questions, answers)
            for signal in make_signals(blocks, config.seed, self._minilm, lenses):
                for question, answer in zip(one.questions, answers, strict=True):
                    _ask(signal, question, answer, config.budgets, tallies)
        self._done += len(one.questions)
        self._listener.progress(self._done, len(self._sets) * config.questions)


def _ask(
    signal: Signal,
    question: Question,
    answer: IntArray,
    budgets: tuple[int, ...],
    tallies: dict[tuple[str, int], _Tally],
) -> None:
    """Note what a signal shows for one question, and how long it takes."""
    started = time.perf_counter()
    ranking = signal.rank(question.text)
    rank_seconds = time.perf_counter() - started
    first = int(np.flatnonzero(np.isin(ranking.order(), answer))[0])
    for budget in budgets:
        started = time.perf_counter()
        seen = np.isin(answer, ranking.shown(budget))
        seconds = rank_seconds + time.perf_counter() - started
        tally = tallies.setdefault((signal.name, budget), _Tally())
        tally.found.append(bool(seen.any() if question.any_block else seen.all()))
        tally.reciprocal_ranks.append(1 / (1 + first))
        tally.seconds.append(seconds)
