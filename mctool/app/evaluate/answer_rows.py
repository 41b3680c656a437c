"""Scores of single answers, and the rows that sum them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from mctool.app.evaluate.answer_questions import Asked, Kind
from mctool.app.evaluate.answer_score import exact_match, f1, names_function
from mctool.app.evaluate.answer_systems import Result
from mctool.core.records import Citation, Record
from mctool.engine.nll import Estimate, mean_estimate
from mctool.tree import Tree


@dataclass(frozen=True)
class AnswerDetail(Record):
    """One answer of one system.

    ``kind`` is ``answerable``, ``adversarial`` or ``foreign``; only the first has a ``gold`` answer, scores and ``nll``
    (nats per token of the gold answer). ``cited`` are the paths of the citations. For lookups of functions, ``named``
    and ``cited_first`` tell whether the right one is named, and whether the first citation shows it. ``reading``,
    ``silence``, ``share`` and ``similarity`` are what it was judged by whether there is an answer.
    """

    set: str
    system: str
    kind: Kind
    question: str
    gold: str | None
    answer: str
    f1: float | None
    em: float | None
    nll: float | None
    supported: bool
    support: float | None
    cited: list[str]
    named: bool | None
    cited_first: bool | None
    tokens_read: int
    seconds: float
    reading: str | None = None
    silence: float | None = None
    share: float | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class AnswerRow(Record):
    """One system on one set; values are None where nothing was asked that they could be measured on.

    ``f1``, ``em``, ``nll`` and ``false_refused`` (the share judged unsupported) are of the ``n`` answerable questions;
    ``refused`` is the share judged unsupported of those that no text of the tree answers, of all and of each kind.
    ``lookup``, of functions, is the share named or cited first. ``tokens_read`` (mean) and ``first_token_s`` (median)
    are of all questions.
    """

    set: str
    system: str
    adapter: bool
    f1: float
    f1_se: float | None
    em: float
    em_se: float | None
    nll: float
    nll_se: float | None
    refused: float | None
    refused_adversarial: float | None
    refused_foreign: float | None
    false_refused: float
    lookup: float | None
    named: float | None
    cited_first: float | None
    tokens_read: float
    first_token_s: float
    n: int
    n_adversarial: int
    n_foreign: int


def gold_answer(tree: Tree, asked: Asked) -> str:
    """The right answer as a reader of the tree would give it; empty for a question without one.

    A function is called by the path that windows show, where they show any.
    """
    if asked.place is None:
        return ""
    if not asked.place.any_block or len(tree.documents) == 1:
        return asked.place.answer
    return f"{tree.documents[asked.place.document].path}:{asked.place.answer.rpartition(':')[2]}"


def score(set_name: str, system: str, tree: Tree, asked: Asked, result: Result, *, cites: bool) -> AnswerDetail:
    """Judge an answer.

    Args:
        set_name: Name of the set.
        system: Name of the system.
        tree: What was asked.
        asked: The question.
        result: What the system made of it.
        cites: Whether the system tells what its answers rest on.
    """
    f1_score = em = named = cited_first = None
    place = asked.place
    if place is not None and place.any_block:
        named = names_function(result.answer, place.answer)
        f1_score = em = float(named)
        start = place.start if place.def_start is None else place.def_start
        path = tree.documents[place.document].path
        cited_first = _shows(result.citations[:1], path, start, place.end) if cites else None
    elif place is not None:
        golds = (place.answer, *place.alternatives)
        f1_score, em = (f1(result.answer, golds), exact_match(result.answer, golds)) if result.answer else (0.0, 0.0)
    judged = result.judged
    return AnswerDetail(
        set=set_name, system=system, kind=asked.kind, question=asked.text, gold=gold_answer(tree, asked) or None,
        answer=result.answer, f1=f1_score, em=em, nll=result.nll, supported=result.supported, support=result.support,
        cited=[citation.path for citation in result.citations], named=named, cited_first=cited_first,
        tokens_read=result.tokens_read, seconds=result.seconds,
        reading=judged.reading if judged else None, silence=judged.silence if judged else None,
        share=judged.evidence.share if judged and judged.evidence else None,
        similarity=judged.evidence.similarity if judged and judged.evidence else None,
    )  # fmt: skip


def summarise(details: Sequence[AnswerDetail], adapter: bool) -> AnswerRow:
    """The row of one system on one set.

    Args:
        details: All its answers, at least one of them to an answerable question.
        adapter: Whether the adapter was in use.
    """
    right = [detail for detail in details if detail.kind == "answerable"]
    wrong = [detail for detail in details if detail.kind != "answerable"]
    adversarial = [detail for detail in wrong if detail.kind == "adversarial"]
    foreign = [detail for detail in wrong if detail.kind == "foreign"]
    f1s, ems, nlls = (_mean(getattr(detail, name) for detail in right) for name in ("f1", "em", "nll"))
    return AnswerRow(
        set=details[0].set, system=details[0].system, adapter=adapter,
        f1=f1s.value, f1_se=f1s.se, em=ems.value, em_se=ems.se, nll=nlls.value, nll_se=nlls.se,
        refused=_refused(wrong), refused_adversarial=_refused(adversarial), refused_foreign=_refused(foreign),
        false_refused=float(np.mean([not detail.supported for detail in right])),
        lookup=_share(detail.named or detail.cited_first for detail in right if detail.named is not None),
        named=_share(detail.named for detail in right if detail.named is not None),
        cited_first=_share(detail.cited_first for detail in right if detail.cited_first is not None),
        tokens_read=float(np.mean([detail.tokens_read for detail in details])),
        first_token_s=median(detail.seconds for detail in details),
        n=len(right), n_adversarial=len(adversarial), n_foreign=len(foreign),
    )  # fmt: skip


def _shows(citations: Sequence[Citation], path: str, start: int, end: int) -> bool:
    return any(one.path == path and one.start_char < end and start < one.end_char for one in citations)


def _mean(values: Iterable[float]) -> Estimate:
    return mean_estimate(np.array(list(values), np.float64))


def _refused(details: Sequence[AnswerDetail]) -> float | None:
    return _share(not detail.supported for detail in details)


def _share(values: Iterable[bool | None]) -> float | None:
    listed = [bool(value) for value in values]
    return float(np.mean(listed)) if listed else None
