"""The use case ``evaluate focus --walk``: what is lost in a large tree when most keys are not read, and what is won."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mctool.app.evaluate.focus import BUDGETS
from mctool.app.evaluate.sets import Listener, Split, chosen_sets, require_split
from mctool.app.evaluate.signals import LensSignal
from mctool.app.evaluate.walk_pack import large_pack
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import UsageError
from mctool.core.records import Record
from mctool.core.timeline import IntArray
from mctool.focus.lens import UtilityLens
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Question
from mctool.training.packed_tree import answer_blocks, packed_tree
from mctool.tree import LexicalIndex, Tree

TREE_TOKENS = 5_000_000


@dataclass(frozen=True)
class WalkConfig:
    """What is measured.

    Attributes:
        data: Data files; none for lookups in Python's standard library. Those without questions fill the tree.
        split: Only questions of records on this side are asked.
        tree_tokens: Most tokens of the tree.
        questions: Most questions to one set.
        budgets: Raw tokens that a window may show.
        model: Whose tokens are counted.
        seed: Seed of all draws.
    """

    data: tuple[Path, ...] = ()
    split: Split = "all"
    tree_tokens: int = TREE_TOKENS
    questions: int = 240
    budgets: tuple[int, ...] = BUDGETS
    model: str = DEFAULT_MODEL
    seed: int = 0

    def __post_init__(self) -> None:
        require_split(self.split)
        for name, value in (("tree-tokens", self.tree_tokens), ("questions", self.questions)):
            if value < 1:
                raise UsageError(f"--{name} {value} is not positive")
        if not self.budgets or min(self.budgets) < 1:
            raise UsageError(f"budgets {list(self.budgets)} are not all positive")


@dataclass(frozen=True)
class WalkRow(Record):
    """One lens at one budget.

    ``flat`` and ``walk`` are the shares of questions whose answer was shown; ``se`` is the standard error of their
    ``difference``. ``read`` is the mean share of the nodes that the walk read, the seconds are medians for one question
    until its lens is there, all three the same at every budget.
    """

    set: str
    lens: str
    budget: int
    flat: float
    walk: float
    difference: float
    se: float
    n: int
    read: float
    flat_seconds: float
    walk_seconds: float


@dataclass(frozen=True)
class WalkEvaluation(Record):
    """Result of ``mctool evaluate focus --walk``: rows, and what the tree holds."""

    rows: list[WalkRow]
    tokens: int
    blocks: int
    documents: int


@dataclass
class _Tally:
    """What a lens got question by question: answers shown at each budget, seconds, and shares of the nodes read."""

    found: list[list[bool]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def evaluate_walk(config: WalkConfig, listener: Listener | None = None) -> WalkEvaluation:
    """Ask one large tree by all keys, and by those that the walk reads.

    Args:
        config: What is measured.
        listener: Who is told of the progress.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There are no records, or no questions with a place.
        MissingBackendError: The model, a key encoder, or what a data file needs, is not here.
    """
    listener = listener or Listener()
    tokenizer = TextTokenizer.load(resolve_model(config.model, report=listener.report))
    nets = KeyNets.find("auto")
    if nets is None:
        raise UsageError("without a key encoder there are no keys to walk by", "`mctool doctor` tells what is missing")
    chosen = large_pack(
        chosen_sets(config.data, ()), tokenizer.encode_with_offsets, config.tree_tokens, config.questions, config.split,
        config.seed,
    )  # fmt: skip
    if not chosen.questions:
        raise UsageError("there are no questions with a place", "give records with questions by --data")
    n_questions = sum(map(len, chosen.questions.values()))
    listener.report(f"a tree of {chosen.n_tokens:,} tokens, {n_questions} questions; its keys take minutes")
    rows: list[WalkRow] = []
    done = 0
    with packed_tree(chosen.pack(), config.model, tokenizer, nets) as tree:
        for name, lens in _lenses(tree, nets, listener).items():
            for set_name, questions in chosen.questions.items():
                tallies = _Tally(), _Tally()
                for question in questions:
                    answer = answer_blocks(tree, question)
                    for tally, choose in zip(tallies, lens, strict=True):
                        _ask(tree, choose, question, answer, config.budgets, tally)
                    done += 1
                    listener.progress(done, 2 * n_questions)
                rows += _rows(set_name, name, config.budgets, *tallies)
        return WalkEvaluation(rows, chosen.n_tokens, tree.timeline.total_blocks, len(tree.documents))


_Choose = Callable[[str], tuple[UtilityLens, float]]
"""Question -> its lens, and the share of the nodes that was read."""


def _lenses(tree: Tree, nets: KeyNets, listener: Listener) -> dict[str, tuple[_Choose, _Choose]]:
    """Each lens as it goes by all keys, and by the walk."""
    index = LexicalIndex.open(tree)
    flat = Lenses(tree, nets, listener.report, flat_blocks=tree.timeline.total_blocks)
    walk = Lenses(tree, nets, listener.report, flat_blocks=0)

    def hybrid(lenses: Lenses) -> _Choose:
        return lambda text: (lenses.choose("hybrid", text, index.hits(text)), lenses.read_share)

    def keys(lenses: Lenses) -> _Choose:
        return lambda text: (lenses.choose("learned", text, []), lenses.read_share)

    return {"hybrid": (hybrid(flat), hybrid(walk)), "keys alone": (keys(flat), keys(walk))}


def _ask(
    tree: Tree, choose: _Choose, question: Question, answer: IntArray, budgets: tuple[int, ...], tally: _Tally
) -> None:
    """Note what a lens shows for one question, how long it takes, and what it reads."""
    started = time.perf_counter()
    lens, share = choose(question.text)
    tally.seconds.append(time.perf_counter() - started)
    tally.shares.append(share)
    ranking = LensSignal(lens.name, tree.timeline, lambda _text: lens).rank(question.text)
    shown = [np.isin(answer, ranking.shown(budget)) for budget in budgets]
    tally.found.append([bool(seen.any() if question.any_block else seen.all()) for seen in shown])


def _rows(name: str, lens: str, budgets: tuple[int, ...], flat: _Tally, walk: _Tally) -> list[WalkRow]:
    both = np.array([flat.found, walk.found], np.float64)
    change = both[1] - both[0]
    n = len(change)
    return [
        WalkRow(
            set=name, lens=lens, budget=budget, flat=float(both[0, :, place].mean()),
            walk=float(both[1, :, place].mean()), difference=float(change[:, place].mean()),
            se=float(change[:, place].std() / np.sqrt(n)), n=n, read=float(np.mean(walk.shares)),
            flat_seconds=float(np.median(flat.seconds)), walk_seconds=float(np.median(walk.seconds)),
        )
        for place, budget in enumerate(budgets)
    ]  # fmt: skip
