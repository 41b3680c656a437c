"""The use case ``ask``: a question and a tree in, an answer with citations out.

A :class:`Reader` holds an open tree; it loads the base model with the first answer and keeps it for the next ones.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from mctool.app.answer_nets import AnswerNets, Reading, reading_kind
from mctool.app.citations import runs_by_text, runs_by_worth
from mctool.app.describe import describe_entries, describe_run
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.app.listeners import Listeners
from mctool.app.resources import peak_rss_mb
from mctool.app.stale import stale_documents
from mctool.app.text_nets import TextNets
from mctool.app.trees import locate_tree
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.errors import TreeDamagedError, UsageError
from mctool.core.evidence import Evidence, TermHits
from mctool.core.records import AskReport, AskSeconds, Citation, FocusReport, TreeSummary, Usage
from mctool.core.timeline import IntArray
from mctool.engine.prompt import Turn, after_turns, chosen_style, prompt_ids
from mctool.engine.refocus import Focus, RefocusStep, entry_budget, initial_context, refocus, require_text
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus import Plan, WorkingContext
from mctool.focus.lens import FloatArray, UtilityLens
from mctool.focus.lexical_lens import shown_share
from mctool.nets.model_store import resolve_model
from mctool.sources.names import suffixes_of
from mctool.tree import LexicalIndex, Tree

if TYPE_CHECKING:
    from mctool.engine.answer import Answer
    from mctool.engine.assemble import TreeText, Window

UNSUPPORTED = "The documents do not say."
"""The answer when nothing in the documents speaks for one."""

SUPPORT_SHARE = 0.3
"""Least share of the question's terms, each by its rarity, that the raw text must hold for an answer, where no adapter
judges the text."""

W_MAX_CPU = 2048
W_MAX_ACCELERATOR = 8192


class _Clock:
    """Wall time of one question by part."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.load = self.lens = self.focus = 0.0


class Reader:
    """Answers questions about one tree.

    Args:
        tree: As given to ``--tree``; None for the nearest one.
        model: Name of the base model.
        device: Where it computes.
        dtype: Type of its weights.
        report: Takes a line for the user when something slow begins or something is amiss.
        lora: Answer with the adapter that is known for the model.
        nets: The model with its adapter, to share it between readers; ``lora`` is not looked at then.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The tree cannot be read.
        MismatchError: The tree was made with another model.
        MissingBackendError: The model is not here and cannot be had.
    """

    def __init__(
        self,
        tree: Path | None = None,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        dtype: str = "auto",
        report: Callable[[str], None] | None = None,
        lora: bool = True,
        nets: AnswerNets | None = None,
    ) -> None:
        self._report = report or (lambda _line: None)
        self._device, self._dtype, self._lora, self._shared = device, dtype, lora, nets
        self._counts_access = True
        self.tree = Tree.open(locate_tree(tree))
        try:
            self._nets = TextNets(resolve_model(model, report=self._report), device, self._report)
            self._nets.expect(self.tree.fingerprint)
        except BaseException:
            self.tree.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.tree.close()

    def load(self) -> None:
        """Load the base model now instead of with the first answer."""
        _ = self._answer_nets.model

    @property
    def default_w_max(self) -> int:
        """W_max where the user gives none, see :func:`default_w_max`."""
        return default_w_max(self._device)

    def focus(self, question: str, config: AskConfig, listeners: Listeners | None = None) -> AskReport:
        """Refocus for a question and stop there: a report without an answer. The base model is not loaded."""
        return self.ask(question, replace(config, max_new_tokens=0), listeners)

    def ask(
        self, question: str, config: AskConfig, listeners: Listeners | None = None, turns: Sequence[Turn] = ()
    ) -> AskReport:
        """Answer a question.

        Args:
            question: What is asked.
            config: How; with ``max_new_tokens`` 0 the report has focus and citations but no answer.
            listeners: Who is told what on the way.
            turns: What the question follows up: the lens looks for their words too, and the prompt begins with them.

        Raises:
            UsageError: The question is empty.
            BudgetTooSmallError: W_max cannot hold the question, a cover of the tree and a block of text.
        """
        if not question.strip():
            raise UsageError("the question is empty", "ask something")
        return _Asking(self, question, config, listeners or Listeners(), turns).run()

    @cached_property
    def _answer_nets(self) -> AnswerNets:
        if self._shared is not None:
            return self._shared
        nets = self._nets
        return AnswerNets.of_model(nets.files, nets.tokenizer, self._device, self._dtype, self._lora)

    @cached_property
    def _index(self) -> LexicalIndex:
        index = LexicalIndex.open(self.tree)
        if not index.is_stored:
            self._report("the lexical index had to be made anew in memory; the next ingest will store it")
        return index

    @cached_property
    def _lenses(self) -> Lenses:
        return Lenses(self.tree, KeyNets.find(self._device), self._report)

    @cached_property
    def stale(self) -> list[str]:
        """Documents whose file has another size or time than when it was ingested, or is gone."""
        return stale_documents(self.tree)

    @cached_property
    def archived(self) -> IntArray:
        """Indices of the documents that cannot be searched, because their text is archived; told once."""
        hidden = self.tree.archived
        if len(hidden):
            what = "1 document is" if len(hidden) == 1 else f"{len(hidden):,} documents are"
            self._report(f"{what} archived and not searched; `mctool curate restore` brings the text back")
        return hidden

    def _count_access(self, **nodes: Iterable[tuple[int, int]]) -> None:
        """Count access as long as the file of counts is sound; no answer depends on it."""
        if not self._counts_access:
            return
        try:
            self.tree.record_access(**nodes)
        except TreeDamagedError as error:
            self._counts_access = False
            self._report(f"access is not counted: {error.message}; delete the file to count anew")


class _Asking:
    """One question on its way to an answer."""

    def __init__(
        self, reader: Reader, question: str, config: AskConfig, listeners: Listeners, turns: Sequence[Turn]
    ) -> None:
        self._clock = _Clock()
        self._sought = " ".join([*(f"{turn.question} {turn.answer or ''}" for turn in turns), question])
        self._prompted = after_turns(turns, question)
        self._reader, self._tree = reader, reader.tree
        self._question, self._config, self._listeners = question, config, listeners
        self._tokenizer = reader._nets.tokenizer
        self._style = chosen_style(question, config.style)
        self._names = [document.path for document in self._tree.documents]
        self._touched: dict[str, list[tuple[int, int]]] = {"expanded": [], "collapsed": [], "cited": []}

    def run(self) -> AskReport:
        try:
            return self._run()
        finally:  # once for all of a question, also when it is interrupted
            self._reader._count_access(**self._touched)

    def _run(self) -> AskReport:
        hits = self._hits(self._sought)
        self._load_lens()
        lens = self._lens(self._sought, hits)
        self._lens_name = lens.name
        self._focus = self._first_focus(lens)
        if not self._config.max_new_tokens:
            return self._report(None, self._shows_terms(hits))
        has_hope = self._shows_text() if self._answer_nets.adapter else self._shows_terms(hits)
        reading = self._read(hits) if has_hope else None
        return self._report(reading, bool(reading and reading.answer and reading.answer.text))

    def _hits(self, text: str) -> list[TermHits]:
        started = time.perf_counter()
        hits = self._reader._index.hits(text)
        self._clock.lens += time.perf_counter() - started
        return hits

    @cached_property
    def _answer_nets(self) -> AnswerNets:
        started = time.perf_counter()
        nets = self._reader._answer_nets
        self._clock.load += time.perf_counter() - started
        return nets

    def _shows_text(self) -> bool:
        return bool((self._focus.context.lod == 0).any())

    def _shows_terms(self, hits: list[TermHits]) -> bool:
        """Whether the raw text of the working context holds enough of what the question is about."""
        shown = self._shown()
        return len(shown) > 0 and shown_share(self._tree.timeline, hits, shown) >= SUPPORT_SHARE

    def _shown(self) -> IntArray:
        """Ranks of the blocks whose raw text the working context shows."""
        context = self._focus.context
        return self._tree.timeline.rank(context.index[context.lod == 0])

    def _evidence(self, hits: list[TermHits]) -> Evidence | None:
        """How well the working context fits the question; None where keys have no part in the choice."""
        if self._lens_name == "lexical":
            return None
        started = time.perf_counter()
        evidence = self._reader._lenses.evidence(self._sought, hits, self._shown(), self._searched())
        self._clock.lens += time.perf_counter() - started
        return evidence

    def _load_lens(self) -> None:
        started = time.perf_counter()
        self._reader._lenses.load(self._config.lens)
        self._clock.load += time.perf_counter() - started

    def _lens(self, text: str, hits: list[TermHits]) -> UtilityLens:
        started = time.perf_counter()
        lens = self._reader._lenses.choose(self._config.lens, text, hits, self._searched())
        self._clock.lens += time.perf_counter() - started
        return lens

    def _searched(self) -> np.ndarray | None:
        """Indices of the documents that ``--path`` and ``--lang`` allow and that are not archived; None for all."""
        glob, suffixes, hidden = self._config.path_glob, suffixes_of(self._config.languages), self._reader.archived
        if glob is None and not suffixes and not len(hidden):
            return None
        allowed = [
            place
            for place, name in enumerate(self._names)
            if (glob is None or matches(name, glob)) and (not suffixes or PurePath(name).suffix.lower() in suffixes)
        ]
        if not allowed:
            given = ([f"--path {glob}"] if glob else []) + [f"--lang {name}" for name in self._config.languages]
            raise UsageError(f"{' '.join(given)} matches no document", "`mctool inspect` lists them")
        return np.setdiff1d(allowed, hidden)

    def _prompt_tokens(self) -> int:
        """Tokens of the prompt and the question: everything that is read besides the history."""
        return sum(len(ids) for ids in prompt_ids(self._tokenizer, self._prompted, self._style))

    def _first_focus(self, lens: UtilityLens) -> Focus:
        started = time.perf_counter()
        config = self._config.focus
        self._budget = entry_budget(config, self._prompt_tokens())
        context = initial_context(self._tree.timeline, config, self._budget)
        self._told(0, context, np.zeros(len(context)), None)
        focus = refocus(context, lens, config, self._budget, self._on_step)
        self._clock.focus += time.perf_counter() - started
        require_text(focus, config, self._prompt_tokens())
        return focus

    def _on_step(self, iteration: int, step: RefocusStep) -> None:
        self._touched["expanded"] += step.plan.expand
        self._touched["collapsed"] += step.plan.collapse
        self._told(iteration, step.context, step.scores, step)

    def _told(self, iteration: int, context: WorkingContext, scores: FloatArray, step: RefocusStep | None) -> None:
        """Tell those who listen."""
        listeners = self._listeners
        if not listeners.want_entries:
            return
        entries = describe_entries(self._tree, context, scores)
        if listeners.on_refocus is not None:
            listeners.on_refocus(iteration, entries, step.record if step else None)
        if listeners.trace is not None:
            if step is None:
                config, tokens = self._config.focus, self._tree.timeline.total_tokens
                listeners.trace.question(self._question, config.w_max, str(self._tree.path), tokens, entries)
            else:
                listeners.trace.refocus(iteration, step.plan, step.record, entries)

    def _read(self, hits: list[TermHits]) -> Reading:
        from mctool.nets.startup import gc_paused

        nets = self._answer_nets
        loading = time.perf_counter()
        with gc_paused():
            from mctool.engine.answer import AnswerConfig
        _ = nets.model
        self._clock.load += time.perf_counter() - loading
        config = AnswerConfig(self._config.max_new_tokens, self._config.temperature, self._config.seed)
        runs = raw_runs(self._focus.context, self._focus.scores)
        kind = reading_kind(self._style, ((self._names[r.document], r.end_token - r.start_token) for r in runs))
        evidence = self._evidence(hits)
        return nets.answer(self._window(self._focus), kind, config, evidence, self._listeners.on_text, self._refocus_on)

    def _window(self, focus: Focus) -> Window:
        from mctool.engine.assemble import assemble

        return assemble(
            focus.context,
            focus.scores,
            self._text,
            self._answer_nets.model,
            self._tokenizer,
            self._prompted,
            w_max=self._config.focus.w_max,
            reserve=self._config.max_new_tokens,
            mode=self._config.positions,
            style=self._style,
        )

    @cached_property
    def _text(self) -> TreeText:
        from mctool.engine.assemble import TreeText
        from mctool.nets.weights import find_folder, read_card

        folder = find_folder(self._tree.fingerprint.model) if self._tree.has_gists else None
        most = read_card(folder).window_gists if folder else 0
        if most:
            self._reader._nets.load()  # refuses a tree whose gists are those of another net
        return TreeText(
            self._tree.timeline,
            self._tree.tokens,
            self._tree.gists if most else None,
            most,
            self._names if len(self._names) > 1 else None,
        )

    def _refocus_on(self, text: str) -> Window | None:
        """The window for going on with an answer that says ``text`` so far; None when focus does not change."""
        before = self._focus
        said = f"{self._sought} {text}"
        lens = self._lens(said, self._hits(said))
        started = time.perf_counter()
        after = refocus(
            before.context,
            lens,
            self._config.focus,
            self._budget,
            lambda iteration, step: self._on_step(len(before.steps) + iteration, step),
        )
        self._clock.focus += time.perf_counter() - started
        self._focus = replace(after, steps=before.steps + after.steps)
        return None if after.context == before.context else self._window(after)

    def _report(self, reading: Reading | None, supported: bool) -> AskReport:
        config, clock, tree, focus = self._config, self._clock, self._tree, self._focus
        runs = raw_runs(focus.context, focus.scores)
        answer = reading.answer if reading else None
        text = answer.text if answer and supported else UNSUPPORTED if config.max_new_tokens else ""
        window = answer.window if answer else reading.window if reading else None
        adapter = self._answer_nets.adapter if config.max_new_tokens else None
        report = AskReport(
            question=self._question,
            answer=text,
            supported=supported,
            citations=self._citations(runs, answer) if supported else [],
            focus=FocusReport(
                w_max=config.focus.w_max,
                cost=focus.context.cost,
                iterations=[step.record for step in focus.steps],
                entries=describe_entries(tree, focus.context, focus.scores),
            ),
            model=tree.fingerprint.model,
            lens=self._lens_name,
            positions=config.positions,
            tree=TreeSummary(str(tree.path), tree.timeline.total_tokens, len(tree.documents), self._reader.stale),
            usage=Usage(
                prompt_tokens=len(window) if window else 0,
                window_slots=window.n_context if window else 0,
                completion_tokens=len(answer.ids) if answer else 0,
            ),
            seconds=AskSeconds(
                load=clock.load,
                lens=clock.lens,
                focus=clock.focus,
                prefill=reading.prefill_seconds if reading else 0.0,
                decode=answer.decode_seconds if answer else 0.0,
                first_token=reading.first_token_at - clock.start if reading else 0.0,
                total=time.perf_counter() - clock.start,
            ),
            peak_rss_mb=peak_rss_mb(),
            style=self._style,
            lora=adapter.fingerprint if adapter else None,
            support=reading.support if reading else None,
            nearest=[] if supported else [describe_run(tree, run) for run in runs_by_text(runs, "", tree)],
        )
        if self._listeners.trace is not None:
            self._listeners.trace.answer(report)
        return report

    def _citations(self, runs: list[RawRun], answer: Answer | None) -> list[Citation]:
        """The runs as citations: by what they are worth where it is measured, else those that say the answer first."""
        cited: list[tuple[RawRun, float | None]]
        if answer is not None and self._config.explain:
            cited = [*runs_by_worth(runs, self._worth_to(answer))]
        else:
            cited = [(run, None) for run in runs_by_text(runs, answer.text if answer else "", self._tree)]
        self._touched["cited"] += ((0, block) for run, _ in cited for block in range(run.first_block, run.end_block))
        return [describe_run(self._tree, run, nats) for run, nats in cited]

    def _worth_to(self, answer: Answer) -> Callable[[RawRun], float]:
        """A function that gives the nats which the answer loses when a run is collapsed to gists."""
        from mctool.engine.answer import answer_nats

        model = self._answer_nets.model
        whole = answer_nats(model, answer.window, answer.ids)

        def worth(run: RawRun) -> float:
            collapse = Plan(collapse=tuple((1, block) for block in range(run.first_block, run.end_block)))
            without = replace(self._focus, context=self._focus.context.apply(collapse))  # gists take the scores over
            return whole - answer_nats(model, self._window(without), answer.ids)

        return worth


def default_w_max(device: str) -> int:
    """W_max where the user gives none, by the device that the base model computes on; ``auto`` loads torch."""
    if device == "cpu":
        return W_MAX_CPU
    from mctool.nets.startup import gc_paused

    with gc_paused():
        from mctool.nets.base_model import choose_device
    return W_MAX_CPU if choose_device(device).type == "cpu" else W_MAX_ACCELERATOR


def matches(path: str, glob: str) -> bool:
    """Whether a document's path, or its end, matches a glob; ``*`` crosses directories."""
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"*/{glob}")
