"""What a window of code shows, by name: a small reader that is asked for a function tends to make up a name for it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from mctool.core.config import FocusConfig
from mctool.core.timeline import Timeline
from mctool.engine.refocus import CloserLook
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray, Lens, UtilityLens
from mctool.sources.definitions import Owner, defined_lines
from mctool.sources.names import is_code
from mctool.tree import Tree

FIT_WEIGHT = 30.0
"""What counts how well the text of a function fits the question, beside the focus score of its best block; chosen on
lookups in packages that neither keys nor reranker were trained on."""

PLACE_TOKENS, PLACE_SHARE = 256, 0.3
"""Where a place in code is sought: raw tokens of a narrowed window, and the least utility of a block. More functions to
choose from mislead the reader less than more text does in other answers."""

READ_FUNCTIONS = 16
"""Functions whose text is read to narrow a window of code: those for which the lens speaks most."""

CLOSENESS = 0.2
"""A block of a function that is less likely to be meant by x counts exp(-x * CLOSENESS) of what the lens finds it
worth; chosen as the weight above."""

AFTER_BLOCKS = 8
"""Blocks that are looked at after the last raw one of a document: a function that begins there is read on in."""

Rerank = Callable[[Mapping[str, str]], Mapping[str, float]]
"""How well each function, text by name, fits the question, see :class:`mctool.nets.reranker.Reranker`; {} where nothing
can tell."""

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
        leanings: How much each, named as in ``path:Class.method``, fits the question by what the lens found: 0 for the
            best; at least one.
        text: The raw text of the window.
        blocks: Those of the window that show each.
        is_sought: Whether the question is known to ask for one of them.
        fits: Tells how well the text of each of some names fits the question, which takes a while; {} where nothing can
            tell.
    """

    leanings: Mapping[str, float]
    text: str
    blocks: Mapping[str, Collection[int]]
    is_sought: bool = False
    fits: Callable[[Collection[str]], Mapping[str, float]] = lambda _names: {}

    def named(self, answer: str) -> str | None:
        """The best of the names of which one is to stand in place of an answer; None where it is no name.

        Those that a short form like ``method`` may stand for; none for a number or another literal that is shown; all
        where a place is sought, where the answer is a name like ``path:method``, shown or made up, or where nothing is
        said but that code follows; none for anything else, which may be a value.
        """
        meant = self._meant(answer)
        if len(meant) > 1:
            likely = self._likely(meant, self.fits(meant))
            return max(likely, key=likely.__getitem__)
        return next(iter(meant), None)

    def closer_lens(self, lens: UtilityLens, timeline: Timeline) -> UtilityLens:
        """The lens that is left when the functions have been read; the same one where nothing can read them.

        What the functions that were not read show counts nothing; all else, as a constant of a module, what it did.
        """
        likeliest = sorted(self.leanings, key=self.leanings.__getitem__, reverse=True)[:READ_FUNCTIONS]
        fits = self.fits(likeliest)
        if not fits:
            return lens
        likely = self._likely(likeliest, fits)
        best = max(likely.values())
        ranks = {name: timeline.rank(np.array([*blocks])) for name, blocks in self.blocks.items()}
        utility = lens.utility.copy()
        utility[np.concatenate([*ranks.values()])] = 0.0
        for name, likelihood in likely.items():
            share = math.exp(CLOSENESS * (likelihood - best))
            mine = ranks[name]
            utility[mine] = np.maximum(utility[mine], share * lens.utility[mine])
        return UtilityLens(lens.name, timeline, utility)

    def _likely(self, names: Iterable[str], fits: Mapping[str, float]) -> dict[str, float]:
        """How likely each name is meant, by all that is known."""
        return {name: self.leanings[name] + FIT_WEIGHT * fits.get(name, 0.0) for name in names}

    def _meant(self, answer: str) -> Collection[str]:
        said = _SPACE.sub(" ", answer).strip()
        ends = {name: f".{name.rpartition(':')[2]}" for name in self.leanings}
        if short := [name for name, end in ends.items() if end.endswith(f".{said}")]:
            return short
        is_quoted = bool(said) and said in _SPACE.sub(" ", self.text)
        if is_quoted and _LITERAL.fullmatch(said):
            return ()
        is_name = said in self.leanings or (not is_quoted and bool(_MADE_UP.match(said)))
        return self.leanings if self.is_sought or is_name else ()


@dataclass
class _Shown:
    """A function or a class of which a window shows some.

    Attributes:
        is_function: It is no class.
        text: As far as it was read.
        blocks: Those that are shown.
        score: The best focus score of these.
        is_innermost: A line is shown that belongs to nothing inside of it, or it is a function.
    """

    is_function: bool
    text: str
    blocks: set[int]
    score: float
    is_innermost: bool


def code_places(
    tree: Tree,
    context: WorkingContext,
    scores: FloatArray,
    question: str,
    rerank: Rerank = lambda _functions: {},
) -> CodePlaces | None:
    """The functions and classes to which the raw text of a working context belongs; None when there are none.

    Where a question asks for a function or for a class in so many words, only such are among them, if any.

    Args:
        tree: What the working context is of.
        context: The working context.
        scores: Focus score of each of its entries, shape [n].
        question: What is asked.
        rerank: Reads functions.
    """
    is_raw = context.lod == 0
    score_of = dict(zip(context.index[is_raw].tolist(), scores[is_raw].tolist(), strict=True))
    shown: dict[str, _Shown] = {}
    runs = raw_runs(context, scores)
    for document, together in groupby(runs, key=lambda run: run.document):
        if is_code(path := tree.documents[document].path):
            found = _shown_in(tree, document, together, score_of)
            shown |= {f"{path}:{name}": one for name, one in found.items()}
    if not shown:
        return None
    kind = _asked_kind(question)
    of_kind = {name: one for name, one in shown.items() if one.is_function is kind}
    mine = of_kind or {name: one for name, one in shown.items() if one.is_innermost}
    top = max(one.score for one in mine.values())
    leanings = {name: one.score - top for name, one in mine.items()}
    text = "\n".join(tree.text(run.first_block, run.end_block) for run in runs)

    def fits(names: Collection[str]) -> Mapping[str, float]:
        return rerank({name: mine[name].text for name in names})

    blocks = {name: one.blocks for name, one in mine.items()}
    return CodePlaces(leanings, text, blocks, asks_for_place(question), fits)


def closer_look(tree: Tree, lens: UtilityLens, question: str, rerank: Rerank) -> CloserLook:
    """A function that makes the lens which has read the functions of a working context.

    Args:
        tree: What the working context is of.
        lens: The lens that has not.
        question: What is asked, for a place in code.
        rerank: Reads functions.
    """

    def look(context: WorkingContext, scores: FloatArray) -> Lens:
        places = code_places(tree, context, scores, question, rerank)
        return places.closer_lens(lens, tree.timeline) if places else lens

    return look


def _shown_in(tree: Tree, document: int, runs: Iterable[RawRun], score_of: Mapping[int, float]) -> dict[str, _Shown]:
    """What raw runs of a document show, by name; of several of one name, what is shown best."""
    blocks = np.concatenate([np.arange(run.first_block, run.end_block) for run in runs])
    starts, ends = tree.char_ranges(blocks, blocks + 1)
    first, end = (int(bound[document]) for bound in (tree.timeline.first_block, tree.timeline.end_block))
    text = tree.text(first, min(int(blocks[-1]) + 1 + AFTER_BLOCKS, end))
    shown: dict[Owner, _Shown] = {}
    end_of: dict[Owner, int] = {}
    for line in defined_lines(text, 0):
        end_of |= dict.fromkeys(line.owners, line.end)
        touched = blocks[(starts < line.end) & (ends > line.start)].tolist() if line.end > starts[0] else []
        for owner in line.owners if touched else ():
            one = shown.setdefault(owner, _Shown(owner.is_function, "", set(), -math.inf, is_innermost=False))
            one.blocks.update(touched)
            one.score = max(one.score, *(score_of[block] for block in touched))
            one.is_innermost |= owner.name in line.names
    for owner, one in shown.items():
        one.text = text[owner.start : end_of[owner]]
    return {owner.name: one for owner, one in sorted(shown.items(), key=lambda pair: pair[1].score)}


def asks_for_place(question: str) -> bool:
    """Whether a question about code asks where something is: in so many words, or by describing it, asking nothing."""
    return bool(_ASKS_FOR_PLACE.match(question)) or not (_IS_ASKED.match(question) or "?" in question)


def _asked_kind(question: str) -> bool | None:
    """True where a function is asked for in so many words, False where a class is; None where it is not said."""
    asked = _ASKS_FOR_PLACE.match(question)
    kinds = re.findall(_KINDS, asked[0], re.I) if asked else []
    return not kinds[-1].lower().startswith(("class", "struct", "interface")) if kinds else None


def seeks_place(question: str, paths: Sequence[str]) -> bool:
    """Whether a question asks where something is, and the documents that are searched are mostly code.

    Args:
        question: What is asked.
        paths: Paths of the documents.
    """
    return 2 * sum(map(is_code, paths)) > len(paths) and asks_for_place(question)


def focus_config(config: FocusConfig, seeks_place: bool) -> FocusConfig:
    """The settings with which a question is looked into: where a place in code is sought, more text stays raw."""
    if not seeks_place:
        return config
    return replace(
        config,
        narrow_tokens=max(config.narrow_tokens, PLACE_TOKENS),
        narrow_share=min(config.narrow_share, PLACE_SHARE),
    )
