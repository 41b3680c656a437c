"""What a window of code shows, by name: a small reader that is asked for a function tends to make up a name for it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from mctool.engine.runs import raw_runs
from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray
from mctool.sources.definitions import Definition, defined_lines
from mctool.sources.names import is_code
from mctool.tree import Tree
from mctool.tree.terms import question_terms, terms

LENS_NATS, KEY_NATS, WORD_NATS = 4.0, 10.0, 1.0
"""What the focus score of a name's best block, the likeness of its key, and the share of its words that are asked for
count in nats a token."""

HEAD_CHARS = 400
"""Of a definition, that its key is made of; the key knows no more than 128 word pieces well."""

HEAD_BLOCKS = 5
"""Blocks that are read after the last one shown, for definitions that begin in it."""

_SPACE = re.compile(r"\s+")
_NO_WORD = re.compile(r"\W+")
_MADE_UP = re.compile(r"\S*:\s?\w|:?$|```")
_IS_ASKED = re.compile(
    r"\s*(?:how|what|who|whose|when|why|is|are|was|were|do|does|did|can|could|will|would|should"
    r"|name|give|tell|say|list|show|describe|explain)\b",
    re.I,
)
_ASKS_FOR_PLACE = re.compile(
    r"\bwhere\b|\b(?:which|what|find|locate|name|show)\b.{0,40}\b(?:function|method|class|macro|routine)\b", re.I
)


@dataclass(frozen=True)
class CodePlaces:
    """Functions and classes of a window.

    Attributes:
        leanings: How much each, named as in ``path:Class.method``, fits the question by what the lens found and by its
            words, in nats a token; at least one.
        text: The raw text of the window.
        is_sought: Whether the question is known to ask for one of them.
    """

    leanings: Mapping[str, float]
    text: str
    is_sought: bool = False

    def meant(self, answer: str) -> dict[str, float]:
        """The leanings of those names of which one is to stand in place of an answer; none where it is no name.

        Those that a short form like ``method`` may stand for; all where one is sought, where the answer is a name like
        ``path:method``, shown or made up, or where nothing is said but that code follows; none for anything else,
        which may be a value.
        """
        said = _SPACE.sub(" ", answer).strip()
        ends = {name: f".{name.rpartition(':')[2]}" for name in self.leanings}
        if short := {name: self.leanings[name] for name, end in ends.items() if end.endswith(f".{said}")}:
            return short
        if self.is_sought or said in self.leanings:
            return dict(self.leanings)
        is_quoted = bool(said) and said in _SPACE.sub(" ", self.text)
        return dict(self.leanings) if not is_quoted and _MADE_UP.match(said) else {}


def code_places(
    tree: Tree,
    context: WorkingContext,
    scores: FloatArray,
    paths: Sequence[str],
    question: str,
    likeness: Callable[[Sequence[str]], npt.NDArray[np.floating]] | None = None,
) -> CodePlaces | None:
    """The functions and classes to which the raw text of a working context belongs; None when there are none.

    Args:
        tree: What the working context is of.
        context: The working context.
        scores: Focus score of each of its entries, shape [n].
        paths: Paths of the documents of the tree.
        question: What is asked.
        likeness: How alike the keys of texts and of the question are, as cosines; None without keys.
    """
    score_of = dict(zip(context.index[context.lod == 0].tolist(), scores[context.lod == 0].tolist(), strict=True))
    best: dict[str, float] = {}
    heads: dict[str, str] = {}
    shown = []
    for run in raw_runs(context, scores):
        shown.append(tree.text(run.first_block, run.end_block))
        if not is_code(paths[run.document]):
            continue
        path = tree.documents[run.document].path
        blocks = np.arange(run.first_block, run.end_block)
        starts, ends = tree.char_ranges(blocks, blocks + 1)
        timeline = tree.timeline
        first, end = int(timeline.first_block[run.document]), int(timeline.end_block[run.document])
        text = tree.text(first, min(run.end_block + HEAD_BLOCKS, end))
        for line in defined_lines(text[: int(ends[-1])], int(starts[0])):
            touched = blocks[(starts < line.end) & (ends > line.start)].tolist()
            for definition in line.owners:
                name = f"{path}:{definition.name}"
                best[name] = max(best.get(name, -math.inf), *(score_of[block] for block in touched))
                heads[name] = _head(path, definition, text)
    if not best:
        return None
    asked = set(question_terms(question))
    top = max(best.values())
    alike = likeness([heads[name] for name in best]).tolist() if likeness else [0.0] * len(best)
    leanings = {
        name: LENS_NATS * (score - top) + KEY_NATS * cosine + WORD_NATS * _share_asked(name, asked)
        for (name, score), cosine in zip(best.items(), alike, strict=True)
    }
    return CodePlaces(leanings, "\n".join(shown), asks_for_place(question))


def asks_for_place(question: str) -> bool:
    """Whether a question about code asks where something is: in so many words, or by describing it, asking nothing."""
    return bool(_ASKS_FOR_PLACE.search(question)) or not (_IS_ASKED.match(question) or "?" in question)


def _head(path: str, definition: Definition, text: str) -> str:
    """What the key of a function is made of: its name, that of its file, and how it begins."""
    file = _NO_WORD.sub(" ", PurePosixPath(path).name)
    return f"{definition.name} {file}\n{text[definition.start : definition.start + HEAD_CHARS]}"


def _share_asked(name: str, asked: set[str]) -> float:
    """Share of the words of a function's own name that are asked for."""
    own = set(terms(name.rpartition(":")[2].rpartition(".")[2]))
    return len(own & asked) / max(len(own), 1)
