"""The refocus loop: score, plan, apply, until nothing changes.

It has two parts. First the lens asks for as much raw text as may be useful; then the window is narrowed to what pays,
because a small reader gets worse with every token that does not matter. W_max is a ceiling, not a target.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.config import FocusConfig
from mctool.core.errors import BudgetTooSmallError
from mctool.core.records import FocusIteration
from mctool.core.timeline import Timeline
from mctool.focus import FocusAllocator, Plan, WorkingContext, plan_cover
from mctool.focus.lens import Aim, FloatArray, Lens


@dataclass(frozen=True)
class RefocusStep:
    """One iteration that changed something: the plan, the context after it, and its record."""

    plan: Plan
    context: WorkingContext
    scores: FloatArray
    record: FocusIteration


@dataclass(frozen=True)
class Focus:
    """A working context at rest.

    Attributes:
        context: The entries.
        scores: Focus score of each entry, shape [n].
        steps: How it came about, in order.
    """

    context: WorkingContext
    scores: FloatArray
    steps: list[RefocusStep]


OnStep = Callable[[int, RefocusStep], None]
"""Told of each iteration, counted from 1."""

CloserLook = Callable[[WorkingContext, FloatArray], Lens]
"""Working context with all raw text that may be useful, and its scores -> a lens that has read it, to narrow it by."""


def entry_budget(config: FocusConfig, prompt_tokens: int) -> int:
    """Tokens that entries may cost beside a prompt, with room for the names of documents and the marks of gaps.

    Raises:
        BudgetTooSmallError: Less than a block of text is left.
    """
    budget = config.w_max - prompt_tokens - config.w_max // 16
    if budget < BLOCK_TOKENS:
        raise BudgetTooSmallError(
            f"--w-max {config.w_max} is too small for a prompt of {prompt_tokens} tokens",
            f"raise it to {2 * prompt_tokens + 64} or more, or shorten the question",
        )
    return budget


def initial_context(timeline: Timeline, config: FocusConfig, budget: int) -> WorkingContext:
    """The coarse cover that refocusing starts from.

    Raises:
        BudgetTooSmallError: Even the coarsest cover costs more than the budget.
    """
    try:
        return plan_cover(timeline, max(int(budget * config.cover_share), 1))
    except BudgetTooSmallError:
        return plan_cover(timeline, budget)


def require_text(focus: Focus, config: FocusConfig, prompt_tokens: int) -> None:
    """Check that a working context at rest shows text, if the lens wants any; without it, no answer would be true.

    Raises:
        BudgetTooSmallError: The budget has no room for the way from a gist down to a block of text.
    """
    at_rest = len(focus.steps) < config.max_iterations
    if at_rest and (focus.context.lod > 0).all() and (focus.scores > config.tau_expand).any():
        raise BudgetTooSmallError(
            f"--w-max {config.w_max} leaves no room for text beside a prompt of {prompt_tokens} tokens and "
            f"gists for {focus.context.cost}",
            "raise --w-max",
        )


def refocus(
    context: WorkingContext,
    lens: Lens,
    config: FocusConfig,
    budget: int,
    on_step: OnStep | None = None,
    closer_look: CloserLook | None = None,
) -> Focus:
    """Refocus a working context until the lens has nothing more to change or ``max_iterations`` is reached.

    Args:
        context: Where to start.
        lens: Scores the entries.
        config: The loop's settings.
        budget: Most that the entries may cost.
        on_step: Told of each iteration that changed something.
        closer_look: Makes the lens that narrows the window; None for ``lens``.
    """
    aims = [Aim(min(config.focus_tokens, budget))]
    if config.narrow:
        aims.append(Aim(min(config.narrow_tokens, budget), config.narrow_share))
    allocator = FocusAllocator(config)
    steps: list[RefocusStep] = []
    iteration = 0
    for number, aim in enumerate(aims):
        idle = 0
        if number and closer_look is not None and len(steps) < config.max_iterations:
            lens = closer_look(context, lens.score(context, aims[0]))
        # A plan may be empty only because a node cools down, so rest means that many empty plans in a row.
        while idle <= config.cooldown and len(steps) < config.max_iterations:
            started = time.perf_counter()
            iteration += 1
            scores = lens.score(context, aim)
            plan = allocator.plan(context, scores, budget, iteration)
            if plan.empty:
                idle += 1
                continue
            idle = 0
            swap_rate = plan.n_actions / len(context)
            context = context.apply(plan)
            record = FocusIteration(
                expanded=len(plan.expand),
                collapsed=len(plan.collapse),
                swap_rate=swap_rate,
                cost=context.cost,
                seconds=time.perf_counter() - started,
            )
            steps.append(RefocusStep(plan, context, lens.score(context, aim), record))
            if on_step is not None:
                on_step(len(steps), steps[-1])
    return Focus(context, lens.score(context, aims[-1]), steps)
