"""The entries of a working context as records."""

from __future__ import annotations

import numpy as np

from mctool.core.records import FocusEntry
from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray
from mctool.tree import Tree


def describe_entries(tree: Tree, context: WorkingContext, scores: FloatArray) -> list[FocusEntry]:
    """The entries of a working context as records; characters are read for entries within one document."""
    timeline = tree.timeline
    lod, n_blocks = context.lod, timeline.live_blocks_of(context.lod, context.index)
    first_rank = np.cumsum(n_blocks) - n_blocks
    first = timeline.blocks_at(first_rank)
    last = timeline.blocks_at(first_rank + n_blocks - 1)
    documents, end_documents = timeline.document_of(first), timeline.document_of(last)
    starts, ends = tree.char_ranges(first, last + 1)
    columns = (
        lod,
        context.start_token,
        context.end_token,
        context.costs,
        scores,
        documents,
        end_documents,
        starts,
        ends,
    )
    return [
        FocusEntry(level, start, end, cost, score, *((tree.documents[a].path, c, d) if a == b else (None, None, None)))
        for level, start, end, cost, score, a, b, c, d in zip(*(column.tolist() for column in columns), strict=True)
    ]
