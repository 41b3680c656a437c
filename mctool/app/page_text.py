"""Which blocks of a tree a page shows the text of: those in focus, what stands around them, then all else that fits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mctool.core.page import PageCitation, PageQuestion, PageText
from mctool.core.timeline import Timeline
from mctool.tree import Tree

SURROUNDINGS = 4
"""Blocks before and after each raw run whose text a page shows, too."""

MOST_BLOCKS = 8_000
"""Most blocks that are read: their text is about as much as a page can hold."""

IntArray = npt.NDArray[np.int64]


def choose_text(
    tree: Tree,
    questions: Sequence[PageQuestion],
    citations: Sequence[PageCitation],
    touched: Sequence[Sequence[int]],
    room: int,
) -> list[PageText]:
    """The text of the blocks that matter most, adjacent ones of a document together, in timeline order.

    Args:
        tree: Where the text is.
        questions: Their raw entries come first, those of the last step before the others.
        citations: Come with the raw entries of the last step.
        touched: Rows [lod, index, ...] of nodes; LOD0 and LOD1 ones come after the surroundings.
        room: Most bytes of text, as JSON.
    """
    timeline = tree.timeline
    ranks = _by_importance(timeline, questions, citations, touched)[:MOST_BLOCKS]
    blocks = timeline.blocks_at(ranks)
    pieces = dict(_texts(tree, np.sort(blocks)))
    kept: list[int] = []
    for block in blocks.tolist():
        room -= len(json.dumps(pieces[block], ensure_ascii=False).encode())
        if room < 0:
            break
        kept.append(block)
    return _page_texts(tree, sorted(kept), pieces)


def text_of_range(tree: Tree, start: int, end: int) -> list[PageText]:
    """The text of all blocks in the token range [start, end), as far as the timeline goes."""
    timeline = tree.timeline
    end = min(end, timeline.total_tokens)
    if start >= end:
        return []
    first, last = _rank_of_token(timeline, np.array([start, end - 1])).tolist()
    blocks = timeline.blocks_at(np.arange(first, last + 1))
    return _page_texts(tree, blocks.tolist(), dict(_texts(tree, blocks)))


def _page_texts(tree: Tree, blocks: Sequence[int], pieces: Mapping[int, str]) -> list[PageText]:
    """Blocks in ascending order with their text, adjacent ones together."""
    return [
        PageText(
            int(tree.timeline.token_start(run[0])),
            int(tree.line_starts(np.array([run[0]]))[0]),
            [pieces[block] for block in run],
        )
        for run in _runs(tree.timeline, blocks)
    ]


def _by_importance(
    timeline: Timeline,
    questions: Sequence[PageQuestion],
    citations: Sequence[PageCitation],
    touched: Sequence[Sequence[int]],
) -> IntArray:
    """Ranks of all live blocks, the most important first, those of equal importance by distance to what is in focus."""
    n_blocks = timeline.total_blocks
    if not n_blocks:
        return np.zeros(0, np.int64)
    last = [_raw_starts(question, -1) for question in questions]
    last += [np.arange(c.start_token, c.end_token, 32) for c in citations]
    earlier = [_raw_starts(question, step) for question in questions for step in range(len(question.steps) - 1)]
    in_focus = _rank_of_token(timeline, np.concatenate([np.zeros(0, np.int64), *last]))
    around = in_focus[:, None] + np.arange(-SURROUNDINGS, SURROUNDINGS + 1)
    hot = timeline.rank(np.array([row[1] for row in touched if row[0] <= 1], np.int64))
    level = np.full(n_blocks, 5)
    level[timeline.start_rank[:-1]] = 4
    level[hot] = 3
    level[np.clip(around.ravel(), 0, n_blocks - 1)] = 2
    level[_rank_of_token(timeline, np.concatenate([np.zeros(0, np.int64), *earlier]))] = 1
    level[in_focus] = 0
    return np.lexsort((_distance(n_blocks, in_focus), level))


def _raw_starts(question: PageQuestion, step: int) -> IntArray:
    shown = question.steps[step]
    starts = np.cumsum([0, *shown.tokens])[:-1]
    return starts[np.array(shown.lods) == 0].astype(np.int64)


def _rank_of_token(timeline: Timeline, tokens: IntArray) -> IntArray:
    """Ranks of the live blocks in which token positions lie."""
    document = np.searchsorted(timeline.start_token, tokens, side="right") - 1
    ranks: IntArray = timeline.start_rank[document] + (tokens - timeline.start_token[document]) // 32
    return ranks


def _distance(n_blocks: int, ranks: IntArray) -> IntArray:
    """Blocks from each block to the nearest of the given ranks; from the first block where there are none."""
    places = np.arange(n_blocks)
    if not len(ranks):
        return places
    ranks = np.unique(ranks)
    after = np.minimum(np.searchsorted(ranks, places), len(ranks) - 1)
    return np.minimum(abs(places - ranks[after]), abs(places - ranks[np.maximum(after - 1, 0)]))


def _runs(timeline: Timeline, blocks: Iterable[int]) -> Iterator[list[int]]:
    """Adjacent blocks of one document together."""
    blocks = np.fromiter(blocks, np.int64)
    if not len(blocks):
        return
    document = timeline.document_of(blocks)
    cuts = np.flatnonzero((np.diff(blocks) > 1) | (np.diff(document) != 0)) + 1
    yield from (run.tolist() for run in np.split(blocks, cuts))


def _texts(tree: Tree, blocks: IntArray) -> Iterator[tuple[int, str]]:
    """Each block with its text."""
    for run in _runs(tree.timeline, blocks.tolist()):
        first = np.array(run)
        starts, ends = tree.char_ranges(first, first + 1)
        text = tree.text(run[0], run[-1] + 1)
        for block, start, end in zip(run, (starts - starts[0]).tolist(), (ends - starts[0]).tolist(), strict=True):
            yield block, text[start:end]
