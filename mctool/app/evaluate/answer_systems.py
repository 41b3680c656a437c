"""The systems that ``evaluate answers`` compares: ways to choose what the same base model reads before it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from mctool.app.answer_nets import AnswerNets
from mctool.app.ask import Reader
from mctool.app.code_places import CodePlaces
from mctool.app.evaluate.answer_questions import Asked
from mctool.app.evaluate.answer_windows import ChunkRankings, RawWindows, oracle_blocks
from mctool.app.evaluate.measured_nets import Judged, MeasuredNets, Notes
from mctool.app.lenses import Lenses
from mctool.core.config import AskConfig
from mctool.core.evidence import Evidence
from mctool.core.records import Citation
from mctool.core.timeline import IntArray
from mctool.engine.answer import AnswerConfig
from mctool.engine.assemble import Window, bare_window
from mctool.engine.prompt import style_of, tail_ids
from mctool.tree import LexicalIndex, Tree

SYSTEMS = ("no text", "first 1024", "full text", "bm25 1024", "bm25 2048", "hybrid 1024", "ask", "oracle")
"""All systems. Numbers are budgets: the most slots of a window, prompt and question included."""

BUDGETS = {name: int(name.split()[1]) for name in SYSTEMS if name[-1].isdigit()}

Pick = Callable[[Asked], Sequence[IntArray]]
"""Question -> ranks of the blocks of each unit that may be shown, the best unit first."""

Find = Callable[[str, IntArray], Evidence | None]
"""Question, ranks of the blocks that are shown -> how well they fit."""


@dataclass(frozen=True)
class Result:
    """What came of one question.

    Attributes:
        answer: Empty when unsupported.
        supported: Whether the reader found that the text holds an answer.
        support: Log odds of that, where the adapter tells them.
        nll: Nats per token of the right answer; None when there is none.
        tokens_read: Slots of the window, prompt and question included.
        seconds: Time to the first token, without loading: choosing what to read, and reading it.
        citations: What the answer rests on, where the system tells.
        judged: How it was decided whether there is an answer; None where nothing was read.
    """

    answer: str
    supported: bool
    support: float | None
    nll: float | None
    tokens_read: int
    seconds: float
    citations: list[Citation] = field(default_factory=list)
    judged: Judged | None = None


class System(Protocol):
    """Answers questions about one tree."""

    def answer(self, asked: Asked, gold: list[int]) -> Result:
        """Answer a question; ``gold`` are the token ids of the right answer, none when there is none."""
        ...


class AskSystem:
    """mctool itself, with its defaults.

    Args:
        nets: The model.
        reader: Of the tree, with the same nets.
        max_new_tokens: Most tokens of an answer.
        window_gists: Most gists in the window; None for as many as by default.
    """

    def __init__(
        self, nets: MeasuredNets, reader: Reader, max_new_tokens: int, window_gists: int | None = None
    ) -> None:
        self._nets, self._reader = nets, reader
        default = AskConfig()
        self._config = replace(
            default,
            focus=replace(default.focus, w_max=reader.default_w_max),
            max_new_tokens=max_new_tokens,
            window_gists=window_gists,
        )

    def answer(self, asked: Asked, gold: list[int]) -> Result:
        """See :class:`System`. Where nothing is read, the right answer's likelihood is that after the bare question."""
        notes = self._nets.model.notes = Notes(gold)
        report = self._reader.ask(asked.text, self._config)
        seconds = report.seconds
        if seconds.first_token:
            waited = seconds.first_token - seconds.load + notes.seconds
        else:
            waited = seconds.lens + seconds.focus
            model, tokenizer = self._nets.model, self._nets.tokenizer
            model.prefill(bare_window(model, tokenizer, asked.text, style_of(asked.text)).embeddings)
        answer = report.answer if report.supported else ""
        return Result(
            answer, report.supported, report.support, notes.nll, report.usage.prompt_tokens, waited, report.citations,
            notes.judged,
        )  # fmt: skip


class WindowSystem:
    """Reads the best units of text that fit a budget.

    Args:
        nets: The model.
        windows: Lays out the tree.
        pick: Ranks the units.
        budget: Most slots of a window, prompt and question included.
        max_new_tokens: Most tokens of an answer.
        evidence: Tells how well blocks fit a question, as the lens does; None where no lens has a say.
    """

    def __init__(
        self,
        nets: MeasuredNets,
        windows: RawWindows,
        pick: Pick,
        budget: int,
        max_new_tokens: int,
        evidence: Find | None = None,
    ) -> None:
        self._nets, self._windows = nets, windows
        self._pick, self._budget, self._evidence = pick, budget, evidence
        self._config = AnswerConfig(max_new_tokens)

    def answer(self, asked: Asked, gold: list[int]) -> Result:
        """See :class:`System`."""
        started = time.perf_counter()
        tail = _tail(self._nets, asked)
        units = self._pick(asked)
        ids, shown = self._windows.fit(units, self._budget - len(tail))
        evidence = self._evidence(asked.text, np.concatenate(units)) if self._evidence and len(units) else None
        window = _shown(self._nets, self._windows, asked, ids + tail, shown, evidence)
        return _read(self._nets, self._config, window, gold, started)


class PrefixSystem:
    """Reads one text for all questions; within ``nets.model.shared(ids)`` it is read once, but timed for each.

    Args:
        nets: The model.
        windows: Of the tree.
        ids: Token ids of the prompt up to the question.
        shown: Ranks of the blocks in it.
        max_new_tokens: Most tokens of an answer.
    """

    def __init__(
        self, nets: MeasuredNets, windows: RawWindows, ids: list[int], shown: IntArray, max_new_tokens: int
    ) -> None:
        self._nets, self._windows, self._ids, self._shown = nets, windows, ids, shown
        self._config = AnswerConfig(max_new_tokens)

    def answer(self, asked: Asked, gold: list[int]) -> Result:
        """See :class:`System`."""
        started = time.perf_counter()
        window = _shown(self._nets, self._windows, asked, self._ids + _tail(self._nets, asked), self._shown)
        return _read(self._nets, self._config, window, gold, started)


@dataclass(frozen=True)
class Site:
    """One tree, and what systems need of it.

    Attributes:
        tree: The tree.
        model: Name of the base model, as given to ``--model``.
        asked: All questions.
        windows: Lays out the tree.
        chunks: Its chunks; None when no system ranks them.
        lenses: Its lenses.
        answer_tokens: Positions that an answer or a right answer may take.
        max_new_tokens: Most tokens of an answer.
    """

    tree: Tree
    model: str
    asked: list[Asked]
    windows: RawWindows
    chunks: ChunkRankings | None
    lenses: Lenses
    answer_tokens: int
    max_new_tokens: int


@contextmanager
def open_system(name: str, nets: MeasuredNets, site: Site, window_gists: int | None = None) -> Iterator[System]:
    """The system of a name (one of :data:`SYSTEMS`), ready for the questions to one tree.

    Args:
        name: The system.
        nets: The model.
        site: The tree.
        window_gists: Most gists in the window of ``ask``; None for its default.
    """
    if name == "ask":
        with Reader(site.tree.path, site.model, nets.model.device.type, nets=nets) as reader:
            yield AskSystem(nets, reader, site.max_new_tokens, window_gists)
        return
    budget = BUDGETS.get(name, nets.model.trained_positions - site.answer_tokens)
    if name in ("first 1024", "full text"):
        longest = max(len(_tail(nets, asked)) for asked in site.asked)
        blocks = ([rank] for rank in range(site.tree.timeline.total_blocks))
        ids, shown = site.windows.fit(map(np.array, blocks), budget - longest)
        with nets.model.shared(ids):
            yield PrefixSystem(nets, site.windows, ids, shown, site.max_new_tokens)
        return
    evidence = _evidence(site) if name == "oracle" else None
    yield WindowSystem(nets, site.windows, _pick(name, site), budget, site.max_new_tokens, evidence)


def _evidence(site: Site) -> Find:
    index = LexicalIndex.open(site.tree)
    return lambda question, shown: site.lenses.evidence(question, index.hits(question), shown)


def _pick(name: str, site: Site) -> Pick:
    """How a system of :class:`WindowSystem`'s kind chooses."""
    chunks = site.chunks
    if name == "oracle":
        return lambda asked: [] if asked.place is None else oracle_blocks(site.tree, asked.place)[:, None]
    if name == "no text" or chunks is None:
        return lambda _asked: []
    if name.startswith("hybrid"):
        return lambda asked: chunks.hybrid(asked.text)
    return lambda asked: chunks.bm25(asked.text)


def _tail(nets: AnswerNets, asked: Asked) -> list[int]:
    """Token ids of the prompt from the question on, in the style that ``ask`` chooses."""
    return tail_ids(nets.tokenizer, asked.text, style_of(asked.text))


@dataclass(frozen=True)
class _Shown:
    """A window of token ids, without gaps in their positions, and what is known of it besides."""

    ids: list[int]
    kind: str
    evidence: Evidence | None
    places: CodePlaces | None


def _shown(
    nets: AnswerNets,
    windows: RawWindows,
    asked: Asked,
    ids: list[int],
    ranks: IntArray,
    evidence: Evidence | None = None,
) -> _Shown:
    """A window that shows some blocks."""
    places = windows.places(asked.text, ranks) if nets.adapter else None
    return _Shown(ids, windows.kind(asked.text), evidence, places)


def _read(nets: MeasuredNets, config: AnswerConfig, shown: _Shown, gold: list[int], started: float) -> Result:
    """Answer from a window as ``ask`` does, but for what the lens knows of its functions."""
    notes = nets.model.notes = Notes(gold)
    window = Window(nets.model.embed(shown.ids), np.arange(len(shown.ids)), len(shown.ids))
    reading = nets.answer(window, shown.kind, config, shown.evidence, places=shown.places)
    answer = reading.answer.text if reading.answer else ""
    waited = reading.first_token_at - started + notes.seconds
    return Result(answer, bool(answer), reading.support, notes.nll, len(shown.ids), waited, judged=notes.judged)
