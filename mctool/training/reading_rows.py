"""Rows to train a reader on: windows as ``ask`` lays them out, each followed by questions that share it.

The lens chooses a window for one question of a document; the questions of the same document whose answers happen to
stand in the window are asked as well, and so are some that it does not answer. Sharing a window makes a question cost a
quarter of what it costs alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from mctool.core.config import FocusConfig, PositionMode
from mctool.core.evidence import TermHits
from mctool.engine.assemble import TreeText, lay_out
from mctool.engine.prompt import Style, style_of, tail_ids
from mctool.engine.refocus import entry_budget, initial_context, refocus
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus.lens import UtilityLens
from mctool.focus.lexical_lens import lexical_lens
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, Sample, pack
from mctool.training.packed_tree import packed_tree
from mctool.training.rows import Row, Segment
from mctool.tree import KeyBuilder, LexicalIndex, Tree

RAW_TOKENS = (96, 128, 128, 192, 192, 256, 384)
NARROW_SHARES = (0.0, 0.3, 0.5)
POSITION_MODES: tuple[PositionMode, ...] = ("squeeze", "squeeze", "compact")
TREE_TOKENS = (4_000, 30_000, 140_000)
"""Rows are drawn from trees of these sizes: few passages to choose from, or many."""

PLACE_RAW_TOKENS = (128, 192, 256, 256)
PLACE_NARROW_SHARES = (0.0, 0.3, 0.3)
PLACE_TREE_TOKENS = (30_000, 140_000, 140_000)
"""Where a place in code is sought, ``ask`` shows more, and small trees have but one file, which is not named."""

TAIL_SLOTS = 128
MAX_ANSWERED = 5
MAX_REFUSED = 2
UNFOUND_SHARE = 0.25
LONG_SHARE = 0.15
LONGEST_SENTENCE = 360
"""Characters of the longest sentence that is taken as an answer."""

LOOKUPS = (
    "{q}",
    "{q}",
    "{q}",
    "Which function does this? {q}",
    "Where is the code that does this: {q}",
    "Find the function: {q}",
)
PURPOSES = ("What does {name} do?", "Explain {name}.", "What is {name} for?", "Describe the purpose of {name}.")

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_ENTITY = re.compile(r"(?<!^)\b(?:[A-Z][\w-]+(?:\s+[A-Z][\w-]+)*|\d[\d,.]*)")


Look = Callable[[str, Sequence[TermHits]], UtilityLens]
"""A question and the places of its terms -> the lens for it."""


@dataclass(frozen=True)
class RowLens:
    """What chooses the windows.

    Attributes:
        open: Looks at a tree.
        keys: Makes the lens keys of trees; None for trees without.
    """

    open: Callable[[Tree], Look]
    keys: KeyBuilder | None = None


def lexical_look(tree: Tree) -> Look:
    """Looks at a tree by its words alone."""
    return lambda _question, hits: lexical_lens(tree.timeline, hits)


def reading_rows(
    samples: Sequence[Sample],
    tokenizer: TextTokenizer,
    model: str,
    trained_positions: int,
    n_rows: int,
    seed: int,
    lens: RowLens = RowLens(lexical_look),
) -> list[Row]:
    """Rows of one set of samples.

    Args:
        samples: Texts with located questions.
        tokenizer: The base model's.
        model: Its name.
        trained_positions: Positions that it was trained with.
        n_rows: How many rows; fewer when there are not as many questions.
        seed: Seed of all draws.
        lens: What chooses the windows.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    share = min(1.0, n_rows / max(sum(len(sample.questions) for sample in samples), 1))
    strangers = [question.text for sample in samples for question in sample.questions]
    sizes = PLACE_TREE_TOKENS if any(one.any_block for sample in samples for one in sample.questions) else TREE_TOKENS
    # A third of the documents goes into trees of each size.
    for size, part in zip(sizes, np.array_split(rng.permutation(len(samples)), len(sizes)), strict=True):
        chosen = [samples[place] for place in part.tolist()]
        unanswerable = {sample.id: sample.unanswerable for sample in chosen}
        for one in pack(chosen, tokenizer.encode_with_offsets, size, seed):
            n_asked = int(rng.binomial(len(one.questions), share))
            if not n_asked:
                continue
            with packed_tree(one, model, tokenizer, lens.keys) as tree:
                look = lens.open(tree)
                maker = _RowMaker(tree, look, one, tokenizer, trained_positions, strangers, unanswerable, rng)
                for place in rng.choice(len(one.questions), n_asked, replace=False).tolist():
                    rows.extend(maker.make(one.questions[place]))
    rng.shuffle(cast("list[Any]", rows))
    return rows[:n_rows]


@dataclass(frozen=True)
class _Visible:
    """A stretch of one document that a window shows: characters [start, end)."""

    document: int
    start: int
    end: int


class _RowMaker:
    """Makes the rows of one tree."""

    def __init__(
        self,
        tree: Tree,
        look: Look,
        one: Pack,
        tokenizer: TextTokenizer,
        trained_positions: int,
        strangers: Sequence[str],
        unanswerable: dict[str, tuple[str, ...]],
        rng: np.random.Generator,
    ) -> None:
        self._tree, self._pack, self._tokenizer, self._rng = tree, one, tokenizer, rng
        self._look, self._trained_positions = look, trained_positions
        self._strangers, self._unanswerable = strangers, unanswerable
        self._index = LexicalIndex.open(tree)
        self._asked: dict[int, list[Question]] = {}
        for question in one.questions:
            self._asked.setdefault(question.document, []).append(question)
        self._names = self._name_documents()
        self._shows_names = len(self._names) > 1

    def _name_documents(self) -> list[str]:
        """Paths as a user's documents might have them; those of code as they are."""
        ending = str(self._rng.choice(["", ".txt", ".md"]))
        folder = str(self._rng.choice(["", "docs/", "library/texts/"]))
        return [
            document.path.partition("/")[2] if document.path.endswith(".py") else f"{folder}{document.path}{ending}"
            for document in self._pack.documents
        ]

    def make(self, question: Question) -> Iterator[Row]:
        """The row of the window that the lens chooses for a question; none when it shows nothing.

        Functions are to be named with their path, so that one document alone, whose path no window shows, will not do.
        """
        if question.any_block and not self._shows_names:
            return
        rng, timeline = self._rng, self._tree.timeline
        sizes, shares = (PLACE_RAW_TOKENS, PLACE_NARROW_SHARES) if question.any_block else (RAW_TOKENS, NARROW_SHARES)
        config = FocusConfig(
            narrow_tokens=min(int(rng.choice(sizes)), self._trained_positions // 4),
            narrow_share=float(rng.choice(shares)),
        )
        lens = self._look(question.text, self._index.hits(question.text))
        budget = entry_budget(config, 32)
        focus = refocus(initial_context(timeline, config, budget), lens, config, budget)
        runs = raw_runs(focus.context, focus.scores)
        if not runs:
            return
        window = lay_out(
            focus.context,
            focus.scores,
            TreeText(timeline, self._tree.tokens, names=self._names if self._shows_names else None),
            self._tokenizer,
            spare=min(256, self._trained_positions // 8),
            tail_slots=TAIL_SLOTS,
            trained_positions=self._trained_positions,
            mode=POSITION_MODES[int(rng.integers(len(POSITION_MODES)))],
        )
        segments = self._segments(question, self._visible(runs))
        if segments:
            yield Row(window.ids, window.positions.tolist(), window.tail, segments)

    def _visible(self, runs: Sequence[RawRun]) -> list[_Visible]:
        shown = []
        for run in runs:
            first, last = np.array([run.first_block]), np.array([run.end_block])
            starts, ends = self._tree.char_ranges(first, last)
            shown.append(_Visible(run.document, int(starts[0]), int(ends[0])))
        return shown

    def _segments(self, question: Question, shown: Sequence[_Visible]) -> list[Segment]:
        """The question that the window was made for, others that it answers, and some that it does not."""
        rng = self._rng
        near = [one for place in {part.document for part in shown} for one in self._asked.get(place, ())]
        answered = [one for one in near if one is not question and _is_shown(one, shown)]
        hidden = [one for one in near if one is not question and not _is_shown(one, shown)]
        text = " ".join(self._text(part) for part in shown)
        segments = [self._segment(question, shown, text)]
        for place in rng.permutation(len(answered))[: MAX_ANSWERED - 1].tolist():
            segments.append(self._segment(answered[place], shown, text))
        refused = [self._refusal(hidden, answered, shown, text) for _ in range(int(rng.integers(MAX_REFUSED + 1)))]
        return [segment for segment in segments + refused if segment is not None]

    def _text(self, part: _Visible) -> str:
        return self._pack.documents[part.document].text[part.start : part.end]

    def _segment(self, question: Question, shown: Sequence[_Visible], text: str) -> Segment | None:
        """A question with its answer, or with silence when the window does not hold it; None when that is unclear."""
        if not _is_shown(question, shown):
            if question.any_block:  # functions are missed so often that some of them will do
                return self._refuse(self._lookup(question)) if self._rng.random() < UNFOUND_SHARE else None
            if not question.quoted or question.answer.lower() in text.lower():
                return None  # another place may well say the same
            return self._refuse(question.text)
        if question.any_block:
            return self._function(question, text)
        style = style_of(question.text)
        if not question.quoted:
            return self._answer(style, question.text, _sentence_case(question.answer, style))
        if style == "long" or self._rng.random() < LONG_SHARE:
            sentence = self._sentence(question, shown)
            if sentence is not None:
                return self._answer("long", question.text, sentence)
        return self._answer("short", question.text, question.answer)

    def _answer(self, style: Style, question: str, answer: str) -> Segment:
        return Segment(style, tail_ids(self._tokenizer, question, style), self._tokenizer.encode(f" {_tidy(answer)}"))

    def _refuse(self, question: str) -> Segment:
        style: Style = "long" if self._rng.random() < LONG_SHARE else style_of(question)
        return Segment("silence", tail_ids(self._tokenizer, question, style), [])

    def _lookup(self, question: Question) -> str:
        return str(self._rng.choice(LOOKUPS)).format(q=question.text)

    def _function(self, question: Question, text: str) -> Segment:
        """A function to be found by what it does, or, now and then, to be explained."""
        _, _, name = question.answer.rpartition(":")
        owner, _, own_name = name.rpartition(".")
        if owner and f"class {owner.rpartition('.')[2]}" not in text:
            name = own_name
        if self._rng.random() < LONG_SHARE:
            asked = str(self._rng.choice(PURPOSES)).format(name=f"{own_name}()")
            return self._answer("long", asked, question.text)
        answer = f"{self._names[question.document]}:{name}"
        prompt = tail_ids(self._tokenizer, self._lookup(question), "short")
        return Segment("lookup", prompt, self._tokenizer.encode(f" {answer}"))

    def _sentence(self, question: Question, shown: Sequence[_Visible]) -> str | None:
        """The sentence that holds the answer, when it is shown whole and is longer than the answer."""
        text = self._pack.documents[question.document].text
        before = [match.end() for match in _SENTENCE_END.finditer(text, max(question.start - 1000, 0), question.start)]
        after = _SENTENCE_END.search(text, question.end)
        start, end = before[-1] if before else max(question.start - 1000, 0), after.start() if after else len(text)
        visible = any(p.document == question.document and p.start <= start and end <= p.end for p in shown)
        if not visible or not question.end - question.start < end - start <= LONGEST_SENTENCE:
            return None
        return text[start:end].strip()

    def _refusal(
        self, hidden: Sequence[Question], answered: Sequence[Question], shown: Sequence[_Visible], text: str
    ) -> Segment | None:
        """A question that the window does not answer, of one of four kinds."""
        rng = self._rng
        kind = rng.random()
        owners = [self._pack.documents[part.document].path for part in shown]
        made_up = [one for owner in owners for one in self._unanswerable.get(owner, ())]
        if made_up and kind < 0.6:
            return self._refuse(str(rng.choice(made_up)))
        if kind < 0.35 and answered:
            changed = self._change_name(answered[int(rng.integers(len(answered)))], text)
            if changed is not None:
                return self._refuse(changed)
        if kind < 0.8 and hidden:
            return self._segment(hidden[int(rng.integers(len(hidden)))], shown, text)
        return self._refuse(str(rng.choice(self._strangers)))

    def _change_name(self, question: Question, text: str) -> str | None:
        """The question about another name or number, one that the window does not mention."""
        names = [] if question.any_block else list(_ENTITY.finditer(question.text))
        others = [match[0] for match in _ENTITY.finditer(str(self._rng.choice(self._strangers)))]
        if not names or not others:
            return None
        old = names[int(self._rng.integers(len(names)))]
        new = next((one for one in others if one[0].isdigit() == old[0][0].isdigit() and one not in text), None)
        return None if new is None else question.text[: old.start()] + new + question.text[old.end() :]


def _is_shown(question: Question, shown: Sequence[_Visible]) -> bool:
    """Whether a window shows a quoted answer whole, a function's name, or most of the evidence."""
    start, end = question.start, question.end
    if question.def_start is not None:
        name = question.answer.rpartition(":")[2].rpartition(".")[2]
        start, end = question.def_start, question.def_start + len(f"async def {name}")
    parts = [part for part in shown if part.document == question.document]
    if question.quoted:
        return any(part.start <= start and end <= part.end for part in parts)
    seen = sum(max(min(part.end, end) - max(part.start, start), 0) for part in parts)
    return seen >= 0.6 * (end - start)


def _tidy(answer: str) -> str:
    """An answer without the marks that its quotation happened to end with."""
    return answer.strip().rstrip(",;:")


def _sentence_case(answer: str, style: Style) -> str:
    answer = answer.strip()
    if style == "short" or not answer:
        return answer
    return answer[0].upper() + answer[1:] + ("" if answer[-1] in ".!?" else ".")


def without_questions(samples: Sequence[Sample]) -> list[Sample]:
    """The same texts, to fill trees with."""
    return [replace(sample, questions=[], unanswerable=()) for sample in samples]
