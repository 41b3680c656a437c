"""One question to a tree: looked for, refocused on, read and answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from mctool.app.answer_nets import AnswerNets, Reading, reading_kind
from mctool.app.citations import runs_by_text, runs_by_worth
from mctool.app.code_places import closer_look, code_places, focus_config, seeks_place
from mctool.app.describe import describe_entries, describe_run
from mctool.app.listeners import Listeners, Stage
from mctool.app.resources import peak_rss_mb
from mctool.core.config import AskConfig, FocusConfig
from mctool.core.errors import UsageError
from mctool.core.evidence import Evidence, TermHits
from mctool.core.records import AskReport, AskSeconds, Citation, FocusReport, TreeSummary, Usage
from mctool.core.timeline import IntArray
from mctool.engine.prompt import Turn, after_turns, chosen_style, prompt_ids
from mctool.engine.refocus import CloserLook, Focus, RefocusStep, entry_budget, initial_context, refocus, require_text
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus import Plan, WorkingContext
from mctool.focus.lens import FloatArray, UtilityLens
from mctool.focus.lexical_lens import shown_share
from mctool.sources.names import matches, suffixes_of

if TYPE_CHECKING:
    from mctool.app.ask import Reader
    from mctool.engine.answer import Answer
    from mctool.engine.assemble import TreeText, Window

UNSUPPORTED = "The documents do not say."
"""The answer when nothing in the documents speaks for one."""

SUPPORT_SHARE = 0.3
"""Least share of the question's terms, each by its rarity, that the raw text must hold for an answer, where no adapter
judges the text."""


class _Clock:
    """Wall time of one question by part."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.load = self.lens = self.focus = 0.0


class Asking:
    """One question on its way to an answer; arguments are those of :meth:`mctool.app.ask.Reader.ask`."""

    def __init__(
        self, reader: Reader, question: str, config: AskConfig, listeners: Listeners, turns: Sequence[Turn]
    ) -> None:
        self._clock = _Clock()
        self._sought = " ".join([*(f"{turn.question} {turn.answer or ''}" for turn in turns), question])
        self._asked = " ".join([question, *(turn.question for turn in reversed(turns))])
        self._prompted = after_turns(turns, question)
        self._reader, self._tree = reader, reader.tree
        self._question, self._config, self._listeners = question, config, listeners
        self._tokenizer = reader.text_nets.tokenizer
        self._style = chosen_style(question, config.style)
        self._names = [document.path for document in self._tree.documents]
        self._fits: dict[str, float] = {}
        self._touched: dict[str, list[tuple[int, int]]] = {"expanded": [], "collapsed": [], "cited": []}

    def run(self) -> AskReport:
        """Refocus, read and answer; raises as :meth:`mctool.app.ask.Reader.ask`."""
        try:
            return self._run()
        finally:  # once for all of a question, also when it is interrupted
            self._reader.count_access(**self._touched)

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
        hits = self._reader.index.hits(text)
        self._clock.lens += self._ended("words", started, terms=len(hits))
        return hits

    @cached_property
    def _answer_nets(self) -> AnswerNets:
        started = time.perf_counter()
        nets = self._reader.answer_nets
        self._clock.load += self._ended("load", started)
        return nets

    def _ended(self, name: str, started: float, /, **facts: str | int | float) -> float:
        """Tell of a part of the work that began at ``started`` and ends now; the seconds that it took."""
        seconds = time.perf_counter() - started
        if self._listeners.on_stage is not None:
            self._listeners.on_stage(Stage(name, started, seconds, facts))
        return seconds

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
        evidence = self._reader.lenses.evidence(self._sought, hits, self._shown(), self._searched())
        self._clock.lens += time.perf_counter() - started
        return evidence

    def _load_lens(self) -> None:
        started = time.perf_counter()
        self._reader.lenses.load(self._config.lens, rerank=self._seeks_place)
        self._clock.load += self._ended("load", started)

    def _lens(self, text: str, hits: list[TermHits]) -> UtilityLens:
        started = time.perf_counter()
        lens = self._reader.lenses.choose(self._config.lens, text, hits, self._searched())
        self._clock.lens += self._ended("lens", started, name=lens.name)
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

    @cached_property
    def _seeks_place(self) -> bool:
        searched = self._searched()
        names = self._names if searched is None else [self._names[place] for place in searched.tolist()]
        return seeks_place(self._question, names)

    @cached_property
    def _focus_config(self) -> FocusConfig:
        return focus_config(self._config.focus, self._seeks_place)

    def _first_focus(self, lens: UtilityLens) -> Focus:
        started = time.perf_counter()
        config = self._focus_config
        self._budget = entry_budget(config, self._prompt_tokens())
        context = initial_context(self._tree.timeline, config, self._budget)
        self._told(0, context, np.zeros(len(context)), None)
        focus = refocus(context, lens, config, self._budget, self._on_step, self._closer_look(lens))
        self._clock.focus += time.perf_counter() - started
        require_text(focus, config, self._prompt_tokens())
        return focus

    def _closer_look(self, lens: UtilityLens) -> CloserLook | None:
        if not self._seeks_place or lens.name == "lexical":
            return None
        return closer_look(self._tree, lens, self._question, self._rerank)

    def _on_step(self, iteration: int, step: RefocusStep) -> None:
        self._touched["expanded"] += step.plan.expand
        self._touched["collapsed"] += step.plan.collapse
        if self._listeners.on_stage is not None:
            facts = {"iteration": iteration, **step.record.to_json()}
            seconds = facts.pop("seconds")
            self._listeners.on_stage(Stage("refocus", time.perf_counter() - seconds, seconds, facts))
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
        context, scores = self._focus.context, self._focus.scores
        runs = raw_runs(context, scores)
        kind = reading_kind(self._style, ((self._names[r.document], r.end_token - r.start_token) for r in runs))
        may_name = kind == "code" and self._style == "short" and nets.adapter is not None
        loading = time.perf_counter()
        with gc_paused():
            from mctool.engine.answer import AnswerConfig
        _ = nets.model
        self._clock.load += self._ended("load", loading)
        config = AnswerConfig(self._config.max_new_tokens, self._config.temperature, self._config.seed)
        evidence = self._evidence(hits)
        places = None
        if may_name:
            places = code_places(self._tree, context, scores, self._question, self._rerank)
        window, reading_at = self._window(self._focus), time.perf_counter()
        is_named = places is not None and places.is_sought  # a name needs no more text, however long it is
        refocus_on = None if is_named else self._refocus_on
        reading = nets.answer(window, kind, config, evidence, self._listeners.on_text, refocus_on, places)
        self._told_reading(reading, len(window), reading_at)
        return reading

    def _rerank(self, functions: Mapping[str, str]) -> Mapping[str, float]:
        """How well functions fit the question; each is read once."""
        if self._lens_name == "lexical":
            return {}
        if unread := {name: text for name, text in functions.items() if name not in self._fits}:
            started = time.perf_counter()
            self._fits |= self._reader.lenses.rerank(self._asked, unread)
            self._ended("rerank", started, functions=len(unread))
        return {name: self._fits[name] for name in functions if name in self._fits}

    def _told_reading(self, reading: Reading, n_read: int, started: float) -> None:
        """Tell of the two parts of what has just ended: up to the first token, and from there on."""
        if self._listeners.on_stage is not None:
            prefill = reading.first_token_at - started
            self._listeners.on_stage(Stage("prefill", started, prefill, {"tokens": n_read}))
            if reading.answer is not None:
                self._ended("decode", reading.first_token_at, tokens=len(reading.answer.ids))

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

        most = self._config.window_gists
        if most is None or not self._tree.has_gists:
            folder = find_folder(self._tree.fingerprint.model) if self._tree.has_gists else None
            most = read_card(folder).window_gists if folder else 0
        if most:
            self._reader.text_nets.load()  # refuses a tree whose gists are those of another net
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
            self._focus_config,
            self._budget,
            lambda iteration, step: self._on_step(len(before.steps) + iteration, step),
            self._closer_look(lens),
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
