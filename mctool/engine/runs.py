"""The raw runs of a working context: what the base model reads word for word, and what is cited."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray


@dataclass(frozen=True)
class RawRun:
    """Consecutive raw blocks of one document: block ids [first_block, end_block), its tokens, and its best score."""

    document: int
    first_block: int
    end_block: int
    start_token: int
    end_token: int
    score: float


def raw_runs(context: WorkingContext, scores: FloatArray) -> list[RawRun]:
    """The raw text of a working context as runs of consecutive blocks within one document, in timeline order.

    Args:
        context: The entries.
        scores: Focus score of each entry, shape [n].
    """
    place = np.flatnonzero(context.lod == 0)
    if not len(place):
        return []
    blocks = context.index[place]
    documents = context.timeline.document_of(blocks)
    breaks = np.flatnonzero((np.diff(blocks) != 1) | (np.diff(documents) != 0)) + 1
    return [
        RawRun(
            document=int(documents[part[0]]),
            first_block=int(blocks[part[0]]),
            end_block=int(blocks[part[-1]]) + 1,
            start_token=int(context.start_token[place[part[0]]]),
            end_token=int(context.end_token[place[part[-1]]]),
            score=float(scores[place[part]].max()),
        )
        for part in np.split(np.arange(len(place)), breaks)
    ]
