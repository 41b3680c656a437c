"""What a window of code shows, by name: a small reader that is asked for a function tends to make up a name for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from mctool.core.config import FocusConfig
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray
from mctool.sources.definitions import DefinedLine, Owner, defined_lines
from mctool.sources.names import is_code
from mctool.tree import Tree
from mctool.tree.terms import question_terms, terms

LENS_NATS, WORD_NATS = 8.0, 3.0
"""What the focus score of a name's best block, and the share of its words that are asked for, count in nats; chosen on
lookups that no net was trained on."""

PLACE_TOKENS, PLACE_SHARE = 256, 0.3
"""Where a place in code is sought: raw tokens of a narrowed window, and the least utility of a block. More functions to
choose from mislead the reader less than more text does in other answers."""

AFTER_BLOCKS = 2
"""Blocks that are looked at after the last raw one of a document: it may end within the line of a definition."""

_SPACE = re.compile(r"\s+")
_MADE_UP = re.compile(r"\S*:\s?\w|:?$|```")
_LITERAL = re.compile(r"-?\d[\w.]*|(?P<quote>[\"']).*(?P=quote)|True|False|None|true|false|null|nil")
_IS_ASKED = re.compile(
    r"\s*(?:how|what|who|whose|when|where|why|which|is|are|was|were|do|does|did|can|could|will|would|should"
    r"|name|give|tell|say|list|show|describe|explain|summari[sz]e)\b",
    re.I,
)
_AUXILIARIES = "is|are|was|were|do|does|did|has|have|had|can|could|will|would|should"
_KINDS = "(?:function|method|macro|routine|procedure|class|struct|interface)(?:e?s)?"
_ASKS_FOR_PLACE = re.compile(
    rf"""\s*where\s+(?:{_AUXILIARIES})\b
    | .*\b(?:which|what)\s+(?:(?!(?:{_AUXILIARIES}|of|the|a|an)\b)\w+\s+){{0,2}}{_KINDS}\b
    | .*\bwhat\s+(?:is|are)\s+the\s+(?:name\s+of\s+the\s+)?{_KINDS}\s+(?:that|which|for|to|where|called)\b
    | \s*(?:please\s+)?(?:find|locate|name|show)\s+(?:me\s+)?(?:(?!of\b)\w+\s+){{0,3}}{_KINDS}\b""",
    re.I | re.X | re.S,
)


@dataclass(frozen=True)
class CodePlaces:
    """Functions and classes of a window.

    Attributes:
        leanings: How much each, named as in ``path:Class.method``, fits the question by what the lens found and by its
            words, in nats; at least one.
        text: The raw text of the window.
        is_sought: Whether the question is known to ask for one of them.
    """

    leanings: Mapping[str, float]
    text: str
    is_sought: bool = False

    def meant(self, answer: str) -> dict[str, float]:
        """The leanings of those names of which one is to stand in place of an answer; none where it is no name.

        Those that a short form like ``method`` may stand for; none for a number or another literal that is shown; all
        where a place is sought, where the answer is a name like ``path:method``, shown or made up, or where nothing is
        said but that code follows; none for anything else, which may be a value.
        """
        said = _SPACE.sub(" ", answer).strip()
        ends = {name: f".{name.rpartition(':')[2]}" for name in self.leanings}
        if short := {name: self.leanings[name] for name, end in ends.items() if end.endswith(f".{said}")}:
            return short
        is_quoted = bool(said) and said in _SPACE.sub(" ", self.text)
        if is_quoted and _LITERAL.fullmatch(said):
            return {}
        is_name = said in self.leanings or (not is_quoted and bool(_MADE_UP.match(said)))
        return dict(self.leanings) if self.is_sought or is_name else {}


def code_places(
    tree: Tree, context: WorkingContext, scores: FloatArray, question: str, sought: str | None = None
) -> CodePlaces | None:
    """The functions and classes to which the raw text of a working context belongs; None when there are none.

    Where a question asks for a function or for a class in so many words, only such are among them, if any.

    Args:
        tree: What the working context is of.
        context: The working context.
        scores: Focus score of each of its entries, shape [n].
        question: What is asked.
        sought: The question with what was said before; None for the question alone.
    """
    is_raw = context.lod == 0
    score_of = dict(zip(context.index[is_raw].tolist(), scores[is_raw].tolist(), strict=True))
    best: dict[Owner, float] = {}
    innermost: set[str] = set()
    runs = raw_runs(context, scores)
    for document, together in groupby(runs, key=lambda run: run.document):
        path = tree.documents[document].path
        if not is_code(path):
            continue
        for line, touched in _touched_lines(tree, document, together):
            score = max(score_of[block] for block in touched)
            innermost.update(f"{path}:{name}" for name in line.names)
            for owner in line.owners:
                place = owner._replace(name=f"{path}:{owner.name}")
                best[place] = max(best.get(place, -math.inf), score)
    if not best:
        return None
    kind = _asked_kind(question)
    of_kind = {place.name: score for place, score in best.items() if place.is_function is kind}
    mine = of_kind or {place.name: score for place, score in best.items() if place.name in innermost}
    asked, top = set(question_terms(sought or question)), max(mine.values())
    leanings = {name: _leaning(name, score - top, asked) for name, score in mine.items()}
    text = "\n".join(tree.text(run.first_block, run.end_block) for run in runs)
    return CodePlaces(leanings, text, asks_for_place(question))


def _touched_lines(tree: Tree, document: int, runs: Iterable[RawRun]) -> Iterator[tuple[DefinedLine, list[int]]]:
    """The lines of a document of which raw runs of it show some, each with the blocks that do."""
    blocks = np.concatenate([np.arange(run.first_block, run.end_block) for run in runs])
    starts, ends = tree.char_ranges(blocks, blocks + 1)
    first, end = (int(bound[document]) for bound in (tree.timeline.first_block, tree.timeline.end_block))
    text = tree.text(first, min(int(blocks[-1]) + 1 + AFTER_BLOCKS, end))
    for line in defined_lines(text, int(starts[0])):
        if touched := blocks[(starts < line.end) & (ends > line.start)].tolist():
            yield line, touched


def asks_for_place(question: str) -> bool:
    """Whether a question about code asks where something is: in so many words, or by describing it, asking nothing."""
    return bool(_ASKS_FOR_PLACE.match(question)) or not (_IS_ASKED.match(question) or "?" in question)


def _asked_kind(question: str) -> bool | None:
    """True where a function is asked for in so many words, False where a class is; None where it is not said."""
    asked = _ASKS_FOR_PLACE.match(question)
    kinds = re.findall(_KINDS, asked[0], re.I) if asked else []
    return not kinds[-1].lower().startswith(("class", "struct", "interface")) if kinds else None


def focus_config(config: FocusConfig, question: str, paths: Sequence[str]) -> FocusConfig:
    """The settings with which a question is looked into: where a place in code is sought, more text stays raw.

    Args:
        config: The settings.
        question: What is asked.
        paths: Paths of the documents that are searched.
    """
    if 2 * sum(map(is_code, paths)) <= len(paths) or not asks_for_place(question):
        return config
    return replace(
        config,
        narrow_tokens=max(config.narrow_tokens, PLACE_TOKENS),
        narrow_share=min(config.narrow_share, PLACE_SHARE),
    )


def _leaning(name: str, behind: float, asked: set[str]) -> float:
    """Nats for a name whose best block is so far behind the best of all, and which may share asked words."""
    own = set(terms(name.rpartition(":")[2].rpartition(".")[2]))
    return LENS_NATS * behind + WORD_NATS * len(own & asked) / max(len(own), 1)
