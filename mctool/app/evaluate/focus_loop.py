"""What the refocus loop does for located questions when it runs as ``ask`` runs it: does it come to rest, how fast?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np

from mctool.app.code_places import closer_look, focus_config, seeks_place
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.core.blocks import TOP_LOD
from mctool.core.config import AskConfig, FocusConfig
from mctool.core.evidence import TermHits
from mctool.core.records import Record
from mctool.core.timeline import IntArray
from mctool.engine.prompt import chosen_style, prompt_ids
from mctool.engine.refocus import Focus, entry_budget, initial_context, refocus
from mctool.focus import Plan, WorkingContext
from mctool.focus.entry_features import find_candidates
from mctool.focus.lens import Lens
from mctool.focus.scored_lens import CANDIDATES
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Question
from mctool.tree import LexicalIndex, Tree

WIDE_ENTRIES = 2000
"""Entries of the working context over which one refocus iteration is timed, where the tree has so many blocks."""

THRASH = 0.25
"""An iteration with a higher swap rate is thrash (glossary, "Swap Rate")."""


@dataclass(frozen=True)
class LoopRow(Record):
    """The loop over the questions of one set, with the settings and the prompts of ``ask``.

    Attributes:
        set: The set.
        lens: Which lens it was.
        n: Questions.
        converged: Share of questions for which the loop came to rest before ``max_iterations``.
        iterations: Mean iterations that changed something.
        iterations_p90: Their 90th percentile.
        swap_rate: Actions over entries of an iteration; the mean over a question's iterations, then over questions.
        settled_swap_rate: The same of the questions for which the loop converged; None without any.
        thrash: Share of all iterations whose swap rate is above .25.
        changed: As ``swap_rate``, of the share of entries that an iteration replaces: a collapse replaces up to 32.
        raw_tokens: Mean raw tokens in the window at rest.
        recall: Share of questions whose answer that window shows.
        se: Its standard error.
        iteration_seconds: Median time of an iteration: scores, plan and the context after it.
        lens_seconds: Median time to a lens for a question: words, keys and LensNet.
        net_seconds: Median time in which LensNet scores its candidates; None without LensNet.
        wide_entries: Median entries of the wide working context; see :func:`widened`.
        wide_iteration_seconds: Median time of one iteration over it; None where it changed nothing.
        wide_loop_seconds: Median time of the whole loop from there.
    """

    set: str
    lens: str
    n: int
    converged: float
    iterations: float
    iterations_p90: float
    swap_rate: float
    settled_swap_rate: float | None
    thrash: float
    changed: float
    raw_tokens: float
    recall: float
    se: float
    iteration_seconds: float | None
    lens_seconds: float
    net_seconds: float | None
    wide_entries: float
    wide_iteration_seconds: float | None
    wide_loop_seconds: float


@dataclass(frozen=True)
class _Walked:
    """What the loop did for one question; times in seconds."""

    lens: str
    converged: bool
    swap_rates: list[float]
    changed: list[float]
    raw_tokens: int
    found: bool
    iterations: list[float]
    choosing: float
    net: float | None
    wide_entries: int
    wide_iteration: float | None
    wide_loop: float


class LoopMeter:
    """Runs the loop for the questions of one set, tree by tree.

    Args:
        tokenizer: Of the base model; the prompt takes its share of the window.
        key_nets: The nets of the lens; None without.
        config: The loop's settings.
    """

    def __init__(self, tokenizer: TextTokenizer, key_nets: KeyNets | None, config: FocusConfig | None = None) -> None:
        self._tokenizer = tokenizer
        self._key_nets = key_nets
        self._config = config or FocusConfig()
        self._walked: list[_Walked] = []

    def measure(self, tree: Tree, lenses: Lenses, questions: Sequence[Question], answers: Sequence[IntArray]) -> None:
        """Run the loop for the questions to one tree.

        Args:
            tree: The tree.
            lenses: Its lenses.
            questions: The questions.
            answers: Ranks of the blocks of each answer.

        Raises:
            BudgetTooSmallError: A question leaves the window no room.
        """
        index = LexicalIndex.open(tree)
        for question, answer in zip(questions, answers, strict=True):
            self._walked.append(self._walk(tree, lenses, index, question, answer))

    def _walk(self, tree: Tree, lenses: Lenses, index: LexicalIndex, question: Question, answer: IntArray) -> _Walked:
        is_place = seeks_place(question.text, [document.path for document in tree.documents])
        config = focus_config(self._config, is_place)
        started = time.perf_counter()
        hits = index.hits(question.text)
        lens = lenses.choose("hybrid", question.text, hits)
        choosing = time.perf_counter() - started
        style = chosen_style(question.text, AskConfig.style)
        n_prompt = sum(len(ids) for ids in prompt_ids(self._tokenizer, question.text, style))
        budget = entry_budget(config, n_prompt)
        start = initial_context(tree.timeline, config, budget)
        look = None
        if is_place and lens.name != "lexical":
            look = closer_look(tree, lens, question.text, partial(lenses.rerank, question.text))
        focus = refocus(start, lens, config, budget, closer_look=look)
        is_raw = focus.context.lod == 0
        seen = np.isin(answer, tree.timeline.rank(focus.context.index[is_raw]))
        n_wide, wide_iteration, wide_loop = _time_wide(start, lens, config)
        return _Walked(
            lens=lens.name,
            converged=len(focus.steps) < config.max_iterations,
            swap_rates=[step.record.swap_rate for step in focus.steps],
            changed=list(_changed_shares(start, focus)),
            raw_tokens=int(focus.context.costs[is_raw].sum()),
            found=bool(seen.any() if question.any_block else seen.all()),
            iterations=[step.record.seconds for step in focus.steps],
            choosing=choosing,
            net=self._time_net(tree, question.text, hits) if lenses.has_keys else None,
            wide_entries=n_wide,
            wide_iteration=wide_iteration,
            wide_loop=wide_loop,
        )

    def _time_net(self, tree: Tree, text: str, hits: Sequence[TermHits]) -> float | None:
        """Seconds in which LensNet scores its candidates; None without LensNet."""
        nets = self._key_nets
        keys = tree.keys(nets.fingerprint) if nets is not None else None
        if nets is None or nets.scorer is None or keys is None:
            return None
        features = find_candidates(tree.timeline, hits, keys.scores(nets.query(text)), CANDIDATES).features
        started = time.perf_counter()
        nets.scorer(features)
        return time.perf_counter() - started

    def row(self, name: str) -> LoopRow:
        """What was measured so far, for at least one question."""
        done = self._walked
        recall = float(np.mean([one.found for one in done]))
        n_iterations = [len(one.swap_rates) for one in done]
        rates = [_mean(one.swap_rates) for one in done]
        settled = [rate for rate, one in zip(rates, done, strict=True) if one.converged]
        nets = [one.net for one in done if one.net is not None]
        return LoopRow(
            set=name,
            lens=done[-1].lens,
            n=len(done),
            converged=float(np.mean([one.converged for one in done])),
            iterations=float(np.mean(n_iterations)),
            iterations_p90=float(np.percentile(n_iterations, 90)),
            swap_rate=_mean(rates),
            settled_swap_rate=_mean(settled) if settled else None,
            thrash=_mean([float(rate > THRASH) for one in done for rate in one.swap_rates]),
            changed=_mean([_mean(one.changed) for one in done]),
            raw_tokens=float(np.mean([one.raw_tokens for one in done])),
            recall=recall,
            se=float(np.sqrt(recall * (1 - recall) / len(done))),
            iteration_seconds=_median([seconds for one in done for seconds in one.iterations]),
            lens_seconds=median(one.choosing for one in done),
            net_seconds=_median(nets),
            wide_entries=median(one.wide_entries for one in done),
            wide_iteration_seconds=_median([one.wide_iteration for one in done if one.wide_iteration is not None]),
            wide_loop_seconds=median(one.wide_loop for one in done),
        )


def widened(context: WorkingContext, n_entries: int) -> WorkingContext:
    """A context in which gists above those of blocks are expanded, from the first on, until it has enough entries.

    Args:
        context: Where to start.
        n_entries: So many entries at most, or as many as ``context``, or fewer where the tree has fewer blocks.
    """
    while True:
        gists = np.flatnonzero(context.lod > 1)
        more = np.cumsum(context.expand_costs(gists))
        taken = gists[: int(np.searchsorted(more, n_entries - len(context), side="right"))]
        if not len(taken):
            return context
        context = context.apply(Plan(expand=tuple(context.node(place) for place in taken.tolist())))


def _time_wide(start: WorkingContext, lens: Lens, config: FocusConfig) -> tuple[int, float | None, float]:
    """Entries of a wide context, seconds of the first iteration over it (None without any), and of the whole loop."""
    wide = widened(start, WIDE_ENTRIES)
    started = time.perf_counter()
    steps = refocus(wide, lens, config, wide.cost + config.focus_tokens).steps
    seconds = time.perf_counter() - started
    return len(wide), steps[0].record.seconds if steps else None, seconds


def _changed_shares(start: WorkingContext, focus: Focus) -> Iterator[float]:
    """Share of the entries of each iteration that are not there after it."""
    for before, after in pairwise([start, *(step.context for step in focus.steps)]):
        stays = np.isin(_codes(before), _codes(after))
        yield float(np.mean(~stays))


def _codes(context: WorkingContext) -> IntArray:
    return context.index * (TOP_LOD + 1) + context.lod


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
