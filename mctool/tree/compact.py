"""When segments are merged, and which.

Every ingest begins a segment, so a tree that is kept current by many small ingests would become one of many small
segments, each with its own files and its own coarse nodes. They are merged in tiers, as log-structured stores do: a
block is copied once a tier, and no tier ever holds more than a few segments.

Segments that a document runs across belong together: they make one *unit*, which is rewritten whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.tree.rows import Segment, StoredDocument

SMALLEST_TIER_BLOCKS = 64
TIER_FACTOR = 8
"""Units of at most 64, 512, 4,096 and 32,768 live blocks make one tier each; larger ones are never merged."""

FANOUT = 4
"""As many units of a tier are merged, and with them all of the tiers below."""

DEAD_BLOCKS = SEGMENT_BLOCKS // 8
"""A unit is rewritten when it holds at least this many retired blocks, and more of them than live ones."""


@dataclass(frozen=True)
class Unit:
    """Segments that no document leaves: their numbers, their blocks, and how many of these are live."""

    numbers: tuple[int, ...]
    n_blocks: int
    n_live: int

    @property
    def n_dead(self) -> int:
        """Retired blocks."""
        return self.n_blocks - self.n_live

    @property
    def tier(self) -> int:
        """0 for the smallest; by live blocks."""
        tier, most = 0, SMALLEST_TIER_BLOCKS
        while self.n_live > most:
            tier, most = tier + 1, most * TIER_FACTOR
        return tier

    @property
    def is_small(self) -> bool:
        """Whether its live blocks fit into one segment with others."""
        return self.n_live < SEGMENT_BLOCKS  # type: ignore[no-any-return]


def plan_compaction(
    segments: Sequence[Segment], stored: Sequence[StoredDocument], everything: bool = False
) -> list[int]:
    """Numbers of the segments whose live documents should move to new ones, ascending; empty when all is well.

    Args:
        segments: Those of the tree, by number.
        stored: Its documents, live and retired, by first block.
        everything: Not only what is due: whatever is small, and whatever holds a retired block.
    """
    units = units_of(segments, stored)
    if everything:
        chosen = [unit for unit in units if unit.n_dead or unit.is_small]
        if len(chosen) == 1 and not chosen[0].n_dead:
            chosen = []
    else:
        chosen = _due(units)
    # Numbers of segments are never used again, so the last one stays unless others come after it.
    if chosen and not any(unit.n_live for unit in chosen):
        chosen = [unit for unit in chosen if unit is not units[-1]]
    return [number for unit in chosen for number in unit.numbers]


def _due(units: list[Unit]) -> list[Unit]:
    in_tier: dict[int, int] = {}
    for unit in units:
        if unit.is_small:
            in_tier[unit.tier] = in_tier.get(unit.tier, 0) + 1
    highest = max((tier for tier, n_units in in_tier.items() if n_units >= FANOUT), default=-1)
    return [
        unit
        for unit in units
        if (unit.is_small and unit.tier <= highest) or unit.n_dead >= max(unit.n_live, DEAD_BLOCKS)
    ]


def units_of(segments: Sequence[Segment], stored: Sequence[StoredDocument]) -> list[Unit]:
    """The units of a tree, by number."""
    joined: set[int] = set()
    live = {segment.number: 0 for segment in segments}
    for entry in stored:
        first, end = entry.document.first_block, entry.document.end_block
        for number in range(first // SEGMENT_BLOCKS, (end - 1) // SEGMENT_BLOCKS + 1):
            if number > first // SEGMENT_BLOCKS:
                joined.add(number)
            if entry.retired_by is None:
                low = max(first, number * SEGMENT_BLOCKS)
                live[number] += min(end, (number + 1) * SEGMENT_BLOCKS) - low
    units: list[Unit] = []
    for segment in segments:
        unit = Unit((segment.number,), segment.n_blocks, live[segment.number])
        if segment.number in joined and units:
            before = units.pop()
            unit = Unit((*before.numbers, segment.number), before.n_blocks + unit.n_blocks, before.n_live + unit.n_live)
        units.append(unit)
    return units
