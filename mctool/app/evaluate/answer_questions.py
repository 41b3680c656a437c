"""What is asked: questions about trees, some of which no tree answers, all drawn before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mctool.app.evaluate.sets import Split, asked_in, require_split
from mctool.core.errors import UsageError
from mctool.sources.corpus import Encode, Pack, Question, Sample, pack

Kind = Literal["answerable", "adversarial", "foreign"]
"""The tree answers it; it is about a document of the tree that does not answer it; or about a document elsewhere."""


@dataclass(frozen=True)
class DrawConfig:
    """Which questions are drawn.

    Attributes:
        split: Only questions of records on this side are asked; the others fill trees all the same.
        tree_tokens: Most tokens of a tree.
        per_tree: Most answerable questions to one tree.
        questions: Most answerable questions to one set.
        unanswerable: Most questions to one set that no tree answers.
        seed: Seed of all draws.
    """

    split: Split = "all"
    tree_tokens: int = 140_000
    per_tree: int = 60
    questions: int = 100
    unanswerable: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        require_split(self.split)
        for name in ("tree_tokens", "per_tree", "questions"):
            value = getattr(self, name)
            if value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value} is not positive")
        if self.unanswerable < 0:
            raise UsageError(f"--unanswerable {self.unanswerable} is negative")


@dataclass(frozen=True)
class Asked:
    """A question to one tree; ``place`` is where its answer stands, None when nothing in the tree answers it."""

    text: str
    kind: Kind
    place: Question | None = None


@dataclass(frozen=True)
class AskedTree:
    """The documents of one tree, and what it is asked; the answerable questions first."""

    documents: Pack
    asked: list[Asked] = field(default_factory=list)

    def count(self, *kinds: Kind) -> int:
        """Number of questions of some kinds."""
        return sum(one.kind in kinds for one in self.asked)


def draw_questions(samples: Sequence[Sample], encode: Encode, config: DrawConfig) -> list[AskedTree]:
    """Trees and what they are asked. A tree that nothing is asked about that it answers is left out.

    Of the questions without an answer, half are adversarial and half foreign as far as there are such; where there are
    too few of one kind, more of the other are drawn.

    Args:
        samples: One set of records.
        encode: The tokenizer.
        config: What is drawn.
    """
    rng = np.random.default_rng(config.seed)
    asking = asked_in(samples, config.split)
    trees = _answerable(asking, encode, config, rng)
    held = [{(document.path, document.text) for document in tree.documents.documents} for tree in trees]
    adversarial, foreign = [], []
    for sample in asking:
        documents = {(document.path, document.text) for document in sample.documents}
        homes = [place for place, there in enumerate(held) if documents & there]
        others = [place for place in range(len(trees)) if place not in homes]
        adversarial += [(Asked(text, "adversarial"), homes) for text in sample.unanswerable if homes and text.strip()]
        foreign += [(Asked(one.text, "foreign"), others) for one in sample.questions if others and _is_usable(one)]
    half = config.unanswerable // 2
    n_adversarial = min(len(adversarial), max(half, config.unanswerable - len(foreign)))
    _deal(adversarial, n_adversarial, trees, rng)
    _deal(foreign, config.unanswerable - n_adversarial, trees, rng)
    return trees


def _is_usable(question: Question) -> bool:
    return bool(question.text.strip() and question.answer.strip())


def _answerable(
    samples: Sequence[Sample], encode: Encode, config: DrawConfig, rng: np.random.Generator
) -> list[AskedTree]:
    """Trees with questions that they answer, until there are enough of these."""
    trees: list[AskedTree] = []
    left = config.questions
    for one in pack(samples, encode, config.tree_tokens, config.seed):
        usable = [question for question in one.questions if _is_usable(question)]
        n_asked = min(len(usable), config.per_tree, left)
        if n_asked:
            chosen = rng.choice(len(usable), n_asked, replace=False).tolist()
            asked = [Asked(usable[place].text, "answerable", usable[place]) for place in chosen]
            trees.append(AskedTree(Pack(one.documents, []), asked))
        left -= n_asked
        if not left:
            break
    return trees


def _deal(
    candidates: Sequence[tuple[Asked, list[int]]], n_dealt: int, trees: list[AskedTree], rng: np.random.Generator
) -> None:
    """Give out questions at random, each to that of its possible trees which has the fewest for its size so far."""

    def load(place: int) -> float:
        return trees[place].count("adversarial", "foreign") / trees[place].count("answerable")

    for chosen in rng.permutation(len(candidates))[:n_dealt].tolist():
        asked, possible = candidates[chosen]
        trees[min(possible, key=load)].asked.append(asked)
