"""The working context: which node stands for which part of the timeline.

Shape letters: n entries, g collapse groups, e nodes to expand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD
from mctool.core.timeline import IntArray, Timeline

FloatArray = npt.NDArray[np.float64]
LodArray = npt.NDArray[np.int8]
ScalarT = TypeVar("ScalarT", bound=np.generic)
Node = tuple[int, int]
"""A node of the tree as (lod, index); see :mod:`mctool.core.blocks`."""


@dataclass(frozen=True)
class Plan:
    """What one refocus iteration changes; makes sense only with the working context that it was planned for.

    Attributes:
        expand: Entries to replace by their live children, the most wanted first.
        collapse: Nodes to put in the place of their live children, all of which are entries; (1, b) for raw block b.
    """

    expand: tuple[Node, ...] = ()
    collapse: tuple[Node, ...] = ()

    @property
    def n_actions(self) -> int:
        """Expansions and collapses together."""
        return len(self.expand) + len(self.collapse)

    @property
    def empty(self) -> bool:
        """Whether applying the plan changes nothing."""
        return self.n_actions == 0


@dataclass(frozen=True, eq=False)
class CollapseGroups:
    """All collapses that a working context permits, in timeline order.

    Attributes:
        lod: Level of the node that would stand in the place of the group, 1 to TOP_LOD, shape [g].
        index: Index of that node, shape [g].
        first_entry: Position of the first entry of each group, shape [g].
        end_entry: One past the position of its last entry, shape [g].
        refund: Tokens that collapsing the group gives back to the budget; may be 0, shape [g].
    """

    lod: LodArray
    index: IntArray
    first_entry: IntArray
    end_entry: IntArray
    refund: IntArray

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def members(self) -> IntArray:
        """Positions of the entries that belong to a group, group by group."""
        return _ranges(self.first_entry, self.end_entry)

    @cached_property
    def group_of_member(self) -> IntArray:
        """Group of each of ``members``."""
        return np.repeat(np.arange(len(self)), self.end_entry - self.first_entry)

    def highest(self, scores: FloatArray) -> FloatArray:
        """The highest score within each group, shape [g], of scores of all entries, shape [n]."""
        sizes = self.end_entry - self.first_entry
        return np.maximum.reduceat(scores[self.members], np.cumsum(sizes) - sizes) if len(self) else np.zeros(0)


@dataclass(frozen=True, eq=False)
class WorkingContext:
    """An ordered tiling of the live timeline by entries (lod, index): no gap, no overlap, block-aligned.

    An immutable value; its arrays are read-only copies.

    Attributes:
        timeline: Where the live documents lie.
        lod: Level of each entry, 0 (raw) to TOP_LOD, shape [n].
        index: Index of each entry at its level, shape [n].

    Raises:
        ValueError: The entries do not tile the timeline.
    """

    timeline: Timeline
    lod: LodArray
    index: IntArray

    def __post_init__(self) -> None:
        lod, index = np.array(self.lod, dtype=np.int64), np.array(self.index, dtype=np.int64)
        if lod.ndim != 1 or lod.shape != index.shape:
            raise ValueError(f"lod {lod.shape} and index {index.shape} must be equal 1-D shapes")
        if len(lod) and not 0 <= int(lod.min()) <= int(lod.max()) <= TOP_LOD:
            raise ValueError(f"levels from {lod.min()} to {lod.max()} are not within 0 to {TOP_LOD}")
        object.__setattr__(self, "lod", _read_only(lod.astype(np.int8)))
        object.__setattr__(self, "index", _read_only(index))
        self._refuse_gap_or_overlap()

    @classmethod
    def showing(cls, timeline: Timeline, ranks: npt.ArrayLike) -> Self:
        """All live blocks, those of some ranks raw, the others as gists."""
        lod = np.ones(timeline.total_blocks, np.int8)
        lod[np.asarray(ranks, dtype=np.int64)] = 0
        return cls(timeline, lod, timeline.blocks_at(np.arange(len(lod))))

    def _refuse_gap_or_overlap(self) -> None:
        # Nodes are nested or apart, so ranges of live tokens that follow each other also keep the blocks apart.
        ends = np.concatenate([np.zeros(1, np.int64), self.end_token])
        begins = np.append(self.start_token, self.timeline.total_tokens)
        wrong = begins != ends
        wrong[:-1] |= self.start_token >= self.end_token
        if wrong.any():
            at = int(np.argmax(wrong))
            what = f"entry {self.node(at)}" if at < len(self) else "the end of the timeline"
            raise ValueError(f"{what} begins at token {begins[at]}, or is empty, where the entries reach {ends[at]}")

    def __len__(self) -> int:
        return len(self.index)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WorkingContext):
            return NotImplemented
        same_entries = np.array_equal(self.lod, other.lod) and np.array_equal(self.index, other.index)
        return same_entries and self.timeline == other.timeline

    def node(self, position: int) -> Node:
        """The entry at a position in the working context."""
        return int(self.lod[position]), int(self.index[position])

    @cached_property
    def _token_ranges(self) -> tuple[IntArray, IntArray]:
        start, end = self.timeline.token_range_of(self.lod, self.index)
        return _read_only(start), _read_only(end)

    @property
    def start_token(self) -> IntArray:
        """First token position of each entry, shape [n]."""
        return self._token_ranges[0]

    @property
    def end_token(self) -> IntArray:
        """One past the last token position of each entry, shape [n]."""
        return self._token_ranges[1]

    @cached_property
    def costs(self) -> IntArray:
        """Tokens that each entry takes of the budget: a raw block its tokens, a gist 1; shape [n]."""
        return _read_only(np.where(self.lod == 0, self.end_token - self.start_token, 1))

    @cached_property
    def cost(self) -> int:
        """Tokens that all entries take of the budget."""
        return int(self.costs.sum())

    def expand_costs(self, positions: IntArray) -> IntArray:
        """Tokens that expanding each of some gist entries would add to the cost.

        Args:
            positions: Positions of entries of level >= 1, shape [e].
        """
        lod, index = self.lod[positions], self.index[positions]
        tokens = self.end_token[positions] - self.start_token[positions]
        return np.where(lod == 1, tokens, self.timeline.n_children(lod, index)) - 1

    @cached_property
    def collapse_groups(self) -> CollapseGroups:
        """Every node whose live children are all entries."""
        parent_lod = self.lod + 1
        parent_index = np.where(self.lod == 0, self.index, self.index // BLOCK_TOKENS)
        changes = (parent_lod[1:] != parent_lod[:-1]) | (parent_index[1:] != parent_index[:-1])
        first = np.concatenate([np.arange(min(len(self), 1)), np.flatnonzero(changes) + 1])
        end = np.append(first[1:], len(self))[: len(first)]
        start_token, end_token = self.timeline.token_range_of(parent_lod[first], parent_index[first])
        whole = (self.start_token[first] == start_token) & (self.end_token[end - 1] == end_token)
        whole &= parent_lod[first] <= TOP_LOD
        costs_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.costs)])
        refund = costs_before[end] - costs_before[first] - 1
        first, end = first[whole], end[whole]
        return CollapseGroups(parent_lod[first], parent_index[first], first, end, refund[whole])

    def apply(self, plan: Plan) -> WorkingContext:
        """The working context after a plan.

        Raises:
            ValueError: The plan expands a node that is no gist entry, collapses a node whose live children are not
                all entries, or touches an entry twice.
        """
        groups = self.collapse_groups
        collapsed = self._locate(plan.collapse, groups.lod, groups.index, groups.first_entry, "collapse")
        first, end = groups.first_entry[collapsed], groups.end_entry[collapsed]
        expanded = self._locate(plan.expand, self.lod, self.index, np.arange(len(self)), "expand")
        expanded.sort()

        touched = np.bincount(np.concatenate([expanded, _ranges(first, end)]), minlength=len(self))
        if touched.max(initial=0) > 1:
            raise ValueError(f"the plan touches entry {self.node(int(touched.argmax()))} twice")

        lod, index = self.lod.copy(), self.index.copy()
        repeats = np.ones(len(self), np.int64)
        repeats[_ranges(first, end)] = 0
        repeats[first] = 1
        lod[first], index[first] = groups.lod[collapsed], groups.index[collapsed]
        child_index, n_children = _live_children(self.timeline, self.lod[expanded], self.index[expanded])
        repeats[expanded] = n_children
        lod[expanded] -= 1
        is_child = np.zeros(len(self), bool)
        is_child[expanded] = True
        new_index = np.repeat(index, repeats)
        new_index[np.repeat(is_child, repeats)] = child_index
        return WorkingContext(self.timeline, np.repeat(lod, repeats), new_index)

    def _locate(
        self, nodes: tuple[Node, ...], lod: LodArray, index: IntArray, first_entry: IntArray, action: str
    ) -> IntArray:
        """Where each node is among the candidates (lod, index), which begin at ``first_entry``, in timeline order."""
        wanted = np.array(nodes, dtype=np.int64).reshape(-1, 2)
        start, _ = self.timeline.token_range_of(np.clip(wanted[:, 0], 0, TOP_LOD), wanted[:, 1])
        found = np.searchsorted(self.start_token[first_entry], start)
        legal = (wanted[:, 0] >= 1) & (found < len(index))
        legal[legal] = (lod[found[legal]] == wanted[legal, 0]) & (index[found[legal]] == wanted[legal, 1])
        if not legal.all():
            raise ValueError(f"the working context cannot {action} node {nodes[int(np.argmin(legal))]}")
        return found


def _live_children(timeline: Timeline, lod: LodArray, index: IntArray) -> tuple[IntArray, IntArray]:
    """Indices of the live children of nodes of level >= 1, node by node, and their number for each node, shape [e]."""
    of_block = lod == 1
    candidates = index[:, None] * BLOCK_TOKENS + np.arange(BLOCK_TOKENS)
    live = timeline.live_blocks_of((lod - 1)[:, None], candidates) > 0
    # The gist of a block has one child, the block itself, under the same index.
    candidates[of_block] = index[of_block, None]
    live[of_block] = np.arange(BLOCK_TOKENS) == 0
    return candidates[live], live.sum(axis=1)


def _ranges(first: IntArray, end: IntArray) -> IntArray:
    """All integers of the half-open ranges [first, end), range by range."""
    sizes = end - first
    integers: IntArray = np.arange(int(sizes.sum())) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)
    return integers


def _read_only(array: npt.NDArray[ScalarT]) -> npt.NDArray[ScalarT]:
    array.setflags(write=False)
    return array
