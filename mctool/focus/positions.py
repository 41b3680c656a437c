"""Rotary positions of what the base model reads: the segments of the window, then the tail."""

from __future__ import annotations

from typing import get_args

import numpy as np

from mctool.core.config import PositionMode
from mctool.core.errors import BudgetTooSmallError
from mctool.core.timeline import IntArray


def plan_positions(
    mode: PositionMode,
    start_token: IntArray,
    end_token: IntArray,
    slots: IntArray,
    tail_slots: int,
    trained_positions: int,
) -> tuple[IntArray, int]:
    """Give every slot of the window a position: ascending, one apart within a segment.

    A *segment* stands for the tokens [start, end) of the live timeline and takes a run of slots in the window. It has
    as many slots as tokens when it is raw, and 1 when it is a gist, which then sits at the central token of its span
    (of two, the first). Slots beyond the tokens hold text put before them, such as a header.

    * ``compact``: 0, 1, 2, ... without gaps.
    * ``absolute``: each token at its position on the timeline. Text put before a segment goes into the gap before it
      and, where that is too small, moves what follows up. Positions may pass ``trained_positions``.
    * ``squeeze``: as absolute while that stays below ``trained_positions``. Beyond, all gaps between slots are scaled
      by one factor so that the tail ends at the last trained position.

    Where everything is shown raw, all modes give 0, 1, 2, ...

    Args:
        mode: How positions are chosen.
        start_token: First token of each of m segments, in timeline order, shape [m].
        end_token: One past the last token of each, shape [m].
        slots: Slots of each in the window, at least 1, shape [m].
        tail_slots: Slots after the last segment: the question and the tokens to be generated.
        trained_positions: Number of positions that the base model was trained with.

    Returns:
        Positions of all slots of the segments, ascending, shape [sum of slots]; and the position of the first slot
        of the tail, which goes on from there in steps of 1.

    Raises:
        BudgetTooSmallError: There are more slots than trained positions.
        ValueError: Segments overlap, are empty or out of order, or the mode is unknown.
    """
    start_token, end_token, slots = (np.asarray(a, dtype=np.int64) for a in (start_token, end_token, slots))
    _refuse_nonsense(mode, start_token, end_token, slots, tail_slots)
    n_slots = int(slots.sum()) + tail_slots
    if n_slots > trained_positions:
        raise BudgetTooSmallError(
            f"the window needs {n_slots} positions and the model was trained with {trained_positions}",
            fix="lower --w-max or --max-new-tokens",
        )

    slots_before = np.cumsum(slots) - slots
    gaps_before = np.zeros_like(slots)
    if mode != "compact":
        gaps_before = _absolute_gaps(start_token, end_token, slots, slots_before)
    room = trained_positions - n_slots
    if mode == "squeeze" and len(slots) and gaps_before[-1] > room:
        gaps_before = gaps_before * room // gaps_before[-1]  # floors of sums, so rounding errors do not add up
    positions = np.arange(int(slots.sum())) + np.repeat(gaps_before, slots)
    return positions, int(positions[-1]) + 1 if len(positions) else 0


def _absolute_gaps(start_token: IntArray, end_token: IntArray, slots: IntArray, slots_before: IntArray) -> IntArray:
    """Positions left free before each segment, over all gaps up to it, when tokens keep their timeline positions."""
    spare = end_token - start_token - slots
    # Spare tokens of a gist lie on both sides of it; slots beyond the tokens (spare < 0) all come before them.
    first_position = start_token + np.where(spare > 0, spare // 2, spare)
    return np.maximum(np.maximum.accumulate(first_position - slots_before), 0)


def _refuse_nonsense(
    mode: PositionMode, start_token: IntArray, end_token: IntArray, slots: IntArray, tail_slots: int
) -> None:
    if mode not in get_args(PositionMode):
        raise ValueError(f"position mode {mode!r} is not one of {', '.join(get_args(PositionMode))}")
    if not start_token.shape == end_token.shape == slots.shape or slots.ndim != 1:
        raise ValueError(
            f"start {start_token.shape}, end {end_token.shape}, slots {slots.shape} must be equal 1-D shapes"
        )
    if np.any(start_token >= end_token) or np.any(start_token[1:] < end_token[:-1]) or np.any(start_token < 0):
        raise ValueError("segments are empty, overlap, or are out of order")
    if np.any(slots < 1) or tail_slots < 0:
        raise ValueError(
            f"a segment takes at least 1 slot and the tail at least 0, not {slots.min(initial=1)} and {tail_slots}"
        )
