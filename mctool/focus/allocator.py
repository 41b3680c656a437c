"""The Focus Allocator: from focus scores to legal expansions and collapses. Positive score = expand.

Shape letters: n entries, c collapses in the queue, e expansions in the queue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import TOP_LOD
from mctool.core.config import FocusConfig
from mctool.core.timeline import IntArray
from mctool.focus.working_context import FloatArray, Node, Plan, WorkingContext


@dataclass(frozen=True, eq=False)
class _CollapseQueue:
    """Collapses in the order in which they are taken: lowest score first, then by position.

    Those whose score asks for it come first; the others serve to pay for expansions.

    Attributes:
        group: Position among the collapse groups of the context, shape [c].
        score: Highest score within each group, ascending, shape [c].
        freed: Tokens that the first 0, 1, ... c collapses give back, shape [c + 1].
        n_wanted: How many of them score below -tau_collapse.
        rank_of_entry: Position in this queue of the group that each entry belongs to; c for none, shape [n].
    """

    group: IntArray
    score: FloatArray
    freed: IntArray
    n_wanted: int
    rank_of_entry: IntArray


@dataclass(frozen=True, eq=False)
class _ExpandQueue:
    """Expansions in the order in which they are tried: highest score first, then by position.

    Attributes:
        entry: Position of each in the context, shape [e].
        score: Focus score, descending, shape [e].
        cost: Tokens that each adds, shape [e].
    """

    entry: IntArray
    score: FloatArray
    cost: IntArray


class FocusAllocator:
    """Greedy planner with hysteresis for one refocus loop.

    It remembers its own plans, on the understanding that each is applied: a node that was expanded in iteration t may
    not be collapsed again, nor one that was collapsed be expanded again, before iteration t + cooldown + 1. Going on
    in the same direction is always allowed.

    Source: glossary, "Focus Allocator"; the order of payment between the two queues is ours.
    """

    def __init__(self, config: FocusConfig) -> None:
        self.config = config
        self._history: list[tuple[int, Plan]] = []

    def plan(self, context: WorkingContext, scores: npt.ArrayLike, budget: int, iteration: int) -> Plan:
        """Choose at most ``n_diff`` actions; the context after them costs no more than the budget.

        Collapses whose group scores below -tau_collapse come first. Then entries that score above tau_expand are
        expanded, highest first, if what is left of the budget allows it; if not, groups that score lower by more than
        tau_expand + tau_collapse are collapsed to pay for it, lowest first; if these are not enough it is passed over.
        A context that costs more than the budget is collapsed, lowest first, until it fits. The score of a group is
        that of its highest entry.

        Args:
            context: The present working context of n entries.
            scores: Focus score of each entry, shape [n].
            budget: Most tokens that all entries together may cost.
            iteration: Number of this iteration, greater than at the call before.

        Raises:
            ValueError: Scores of a wrong shape or not a number, a negative budget, an iteration that does not advance.
        """
        score_array = np.asarray(scores, dtype=np.float64)
        if score_array.shape != (len(context),):
            raise ValueError(f"scores have shape {score_array.shape} and the context has {len(context)} entries")
        if np.isnan(score_array).any():
            raise ValueError(f"the score of entry {context.node(int(np.isnan(score_array).argmax()))} is not a number")
        if budget < 0:
            raise ValueError(f"budget {budget} is negative")
        if self._history and iteration <= self._history[-1][0]:
            raise ValueError(f"iteration {iteration} does not come after iteration {self._history[-1][0]}")

        self._history = [(t, plan) for t, plan in self._history if iteration <= t + self.config.cooldown]
        collapses = self._queue_collapses(context, score_array)
        expands = self._queue_expands(context, score_array)
        n_collapses, expanded = self._balance(collapses, expands, budget - context.cost)
        groups, taken = context.collapse_groups, collapses.group[:n_collapses]
        plan = Plan(
            expand=_nodes(context.lod[expanded], context.index[expanded]),
            collapse=_nodes(groups.lod[taken], groups.index[taken]),
        )
        self._history.append((iteration, plan))
        return plan

    def _queue_collapses(self, context: WorkingContext, scores: FloatArray) -> _CollapseQueue:
        groups = context.collapse_groups
        score = groups.highest(scores)
        cooling = _among(groups.lod, groups.index, [node for _, plan in self._history for node in plan.expand])
        wanted = score < -self.config.tau_collapse
        queued = np.flatnonzero(~cooling & (wanted | (groups.refund > 0)))
        queued = queued[np.argsort(score[queued], kind="stable")]
        rank_of_group = np.full(len(groups), len(queued))
        rank_of_group[queued] = np.arange(len(queued))
        rank_of_entry = np.full(len(context), len(queued))
        rank_of_entry[groups.members] = rank_of_group[groups.group_of_member]
        freed = np.concatenate([np.zeros(1, np.int64), np.cumsum(groups.refund[queued])])
        return _CollapseQueue(queued, score[queued], freed, int(wanted[queued].sum()), rank_of_entry)

    def _queue_expands(self, context: WorkingContext, scores: FloatArray) -> _ExpandQueue:
        entry = np.flatnonzero((context.lod > 0) & (scores > self.config.tau_expand))
        recent = [node for _, plan in self._history for node in plan.collapse]
        entry = entry[~_among(context.lod[entry], context.index[entry], recent)]
        entry = entry[np.argsort(-scores[entry], kind="stable")]
        return _ExpandQueue(entry, scores[entry], context.expand_costs(entry))

    def _balance(self, collapses: _CollapseQueue, expands: _ExpandQueue, free: int) -> tuple[int, IntArray]:
        """How many collapses to take off the front of their queue, and which entries to expand.

        Taking only from the front is enough: a group that may pay for an expansion scores below it, as do all groups
        before it, and so cannot hold an entry that was expanded earlier, at a score at least as high.

        Args:
            collapses: The collapse queue.
            expands: The expand queue.
            free: Tokens that the context leaves of the budget; negative when it exceeds the budget.
        """
        n_diff = self.config.n_diff
        n_needed = int(np.searchsorted(collapses.freed, -free))
        n_collapses = min(max(collapses.n_wanted, n_needed), len(collapses.group), n_diff)
        margin = self.config.tau_expand + self.config.tau_collapse
        n_payers = np.searchsorted(collapses.score, expands.score - margin)
        rank = collapses.rank_of_entry[expands.entry]
        chosen: list[int] = []
        tried = 0
        while n_collapses + len(chosen) < n_diff:
            ahead = slice(tried, None)
            n_needed_each = np.maximum(np.searchsorted(collapses.freed, expands.cost[ahead] - free), n_collapses)
            feasible = (n_needed_each == n_collapses) | (n_needed_each <= n_payers[ahead])
            feasible &= n_needed_each + len(chosen) < n_diff
            feasible &= rank[ahead] >= n_collapses  # not an entry of a group that has been collapsed
            if not feasible.any():
                break
            step = int(feasible.argmax())
            n_collapses = int(n_needed_each[step])
            free -= int(expands.cost[tried + step])
            chosen.append(tried + step)
            tried += step + 1
        return n_collapses, expands.entry[np.array(chosen, dtype=np.int64)]


def _nodes(lod: npt.NDArray[np.integer], index: IntArray) -> tuple[Node, ...]:
    return tuple(zip(lod.tolist(), index.tolist(), strict=True))


def _among(lod: npt.NDArray[np.integer], index: IntArray, nodes: list[Node]) -> npt.NDArray[np.bool_]:
    """Whether each node (lod, index) is one of ``nodes``."""
    listed = np.array(nodes, dtype=np.int64).reshape(-1, 2)
    return np.isin(index * (TOP_LOD + 1) + lod, listed[:, 1] * (TOP_LOD + 1) + listed[:, 0])
