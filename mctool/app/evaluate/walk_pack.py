"""One large tree to measure the walk on: what is asked about, and other text around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from mctool.app.evaluate.sets import Split, asked_in
from mctool.sources.corpus import Encode, Pack, Question, Sample, TokenDocument


@dataclass
class LargePack:
    """Documents of one tree, and the questions about them by set.

    Attributes:
        documents: In the order of the tree.
        questions: Set -> questions that are asked.
        n_tokens: Tokens of all documents.
    """

    documents: list[TokenDocument] = field(default_factory=list)
    questions: dict[str, list[Question]] = field(default_factory=dict)
    n_tokens: int = 0

    def pack(self) -> Pack:
        """The documents and all questions as a tree takes them."""
        return Pack(self.documents, [question for asked in self.questions.values() for question in asked])


def large_pack(
    sets: dict[str, list[Sample]], encode: Encode, tree_tokens: int, n_questions: int, split: Split, seed: int
) -> LargePack:
    """Fill one tree: at most half with what is asked about, every set the same part of it, the rest with other text.

    Other text is that of sets without questions, in their order, then of the records that are not asked about.

    Args:
        sets: Records by set; those without questions are other text.
        encode: The tokenizer.
        tree_tokens: Most tokens of the tree.
        n_questions: Most questions of a set.
        split: Only questions of records on this side are asked.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    chosen = LargePack()
    plain: list[Sample] = []
    unasked: list[Sample] = []
    asked = {name: asked_in(samples, split) for name, samples in sets.items()}
    n_sets = sum(any(sample.questions for sample in samples) for samples in asked.values())
    for name, samples in asked.items():
        drawn = [samples[place] for place in rng.permutation(len(samples)).tolist()]
        limit = chosen.n_tokens + tree_tokens // (2 * max(n_sets, 1))
        wanted = [sample for sample in drawn if any(question.quoted for question in sample.questions)]
        n_used, found = _fill(chosen, wanted, encode, limit)
        (unasked if any(sample.questions for sample in sets[name]) else plain).extend(
            [sample for sample in drawn if not any(one.quoted for one in sample.questions)] + wanted[n_used:]
        )
        picked = rng.permutation(len(found))[:n_questions]
        if len(picked):
            chosen.questions[name] = [found[place] for place in picked.tolist()]
    _fill(chosen, [*plain, *unasked], encode, tree_tokens)
    return chosen


def _fill(chosen: LargePack, samples: Iterable[Sample], encode: Encode, limit: int) -> tuple[int, list[Question]]:
    """Add samples until one has a document that would take the tree above a limit.

    Returns:
        How many were added, the last perhaps in part, and the quoted questions about the documents that were.
    """
    questions: list[Question] = []
    n_used = 0
    for sample in samples:
        n_used += 1
        for number, document in enumerate(sample.documents):
            ids, starts = encode(document.text)
            if chosen.n_tokens + len(ids) > limit:
                return n_used, questions
            here = len(chosen.documents)
            chosen.documents.append(TokenDocument(document.path, document.text, ids, starts))
            chosen.n_tokens += len(ids)
            asked = [one for one in sample.questions if one.quoted and one.document == number]
            questions += [replace(one, document=here) for one in asked]
    return n_used, questions
