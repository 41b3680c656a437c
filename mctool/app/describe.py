"""Entries and raw runs of a working context as the records that users see."""

from __future__ import annotations

import numpy as np

from mctool.core.places import place_of
from mctool.core.records import Citation, FocusEntry
from mctool.engine.runs import RawRun
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


def describe_run(tree: Tree, run: RawRun, delta_nats: float | None = None) -> Citation:
    """A raw run as a citation; ``delta_nats`` is what it is worth to the answer, None when that was not measured."""
    span = tree.span(run.first_block, run.end_block)
    marks = tree.marks(tree.documents[run.document])
    place = None
    if marks is not None:
        place = place_of(marks, span.start_char, span.end_char) or f"text lines {span.start_line}-{span.end_line}"
    return Citation(
        span.path, span.start_line, span.end_line, span.start_char, span.end_char, span.text, delta_nats, place
    )
