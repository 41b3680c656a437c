"""The use case ``inspect --html``: a tree, and the focus for questions, as the records of one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mctool.app.page_text import choose_text
from mctool.app.page_tokens import with_tokens
from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD
from mctool.core.inspection import TracedAnswer, TracedQuestion
from mctool.core.page import (
    PAGE_VERSION,
    Page,
    PageCitation,
    PageDocuments,
    PageQuestion,
    PageStep,
    PageText,
    PageTouched,
    PageTree,
)
from mctool.core.records import Citation, FocusEntry, FocusIteration, Record
from mctool.nets.tokenizer import TextTokenizer
from mctool.tree import Tree
from mctool.version import __version__

NAMED_DOCUMENTS = 4_000
"""Most documents that a page names: those in focus first, then the largest."""

LINED_BLOCKS = 65_536
"""In larger trees a page knows lines only where it has the text."""

LEVEL_NODES = 40_000
"""Levels with more nodes than this are drawn from the documents alone."""

TOUCHED_NODES = 2_000
QUESTION_BYTES = 900_000
"""Room for questions in a page, as JSON: later ones that do not fit are left out."""

TEXT_BYTES = 700_000
"""Room for text in a page, as JSON; where its tokens begin may take as much again."""

Flags = npt.NDArray[np.bool_]


def page_of_tree(tree: Tree, questions: Sequence[TracedQuestion], tokenizer: TextTokenizer | None = None) -> Page:
    """A page about a tree, with what focus did for questions, if any.

    Args:
        tree: What is shown.
        questions: From a trace or from :func:`mctool.app.traced_focus.traced_focus`; those about another timeline are
            left out.
        tokenizer: That of the tree, to tell tokens apart within blocks.

    Raises:
        TreeDamagedError: The tree cannot be read.
    """
    timeline = tree.timeline
    shown = _within([question for question in questions if question.tokens == timeline.total_tokens])
    citations = [citation for question in shown for citation in question.citations]
    touched = _touched(tree)
    texts = choose_text(tree, shown, citations, touched.nodes, TEXT_BYTES)
    if tokenizer is not None:
        texts = [with_tokens(tree, tokenizer, text) for text in texts]
    return Page(
        version=PAGE_VERSION,
        made_by=f"mctool {__version__}",
        tree=PageTree(
            str(tree.path),
            timeline.total_tokens,
            timeline.total_blocks,
            len(tree.documents),
            tree.fingerprint.model,
            True,
        ),
        documents=_documents(tree, shown),
        levels=_levels(tree),
        touched=touched,
        questions=shown,
        questions_left_out=len(questions) - len(shown),
        texts=texts,
        text_blocks=sum(len(text.blocks) for text in texts),
    )


def page_of_trace(questions: Sequence[TracedQuestion]) -> Page:
    """A page about a trace whose tree is gone or has changed: its text is that of the citations alone.

    Args:
        questions: At least one, all of the tree of the first; others are left out.
    """
    first = questions[0]
    shown = _within([question for question in questions if question.tokens == first.tokens])
    documents = _documents_of(first.steps[-1].entries if first.steps else first.entries)
    texts = [text for question in questions[: len(shown)] for text in _cited_texts(question)]
    return Page(
        version=PAGE_VERSION,
        made_by=f"mctool {__version__}",
        tree=PageTree(first.tree, first.tokens, -(-first.tokens // BLOCK_TOKENS), len(documents.paths), "", False),
        documents=documents,
        levels={},
        touched=PageTouched([], 0),
        questions=shown,
        questions_left_out=len(questions) - len(shown),
        texts=texts,
        text_blocks=sum(len(text.blocks) for text in texts),
    )


def _within(questions: Sequence[TracedQuestion]) -> list[PageQuestion]:
    """The questions from the first on that there is room for; the first, if any, in any case."""
    shown: list[PageQuestion] = []
    room = QUESTION_BYTES
    for question in questions:
        described = _question(question)
        room -= _json_bytes(described)
        if room < 0 and shown:
            break
        shown.append(described)
    return shown


def _question(traced: TracedQuestion) -> PageQuestion:
    cover = FocusIteration(0, 0, 0.0, sum(entry.cost for entry in traced.entries), 0.0)
    steps = [_step(0, cover, traced.entries)]
    steps += [_step(step.iteration, step.record, step.entries) for step in traced.steps]
    last = traced.steps[-1].entries if traced.steps else traced.entries
    answer = traced.answer
    return PageQuestion(
        question=traced.question,
        w_max=traced.w_max,
        steps=steps,
        answer=answer.answer if answer else None,
        supported=bool(answer and answer.supported),
        citations=[_citation(citation, last) for citation in _passages(answer)],
    )


def _passages(answer: TracedAnswer | None) -> list[Citation]:
    return (answer.citations or answer.nearest) if answer else []


def _step(iteration: int, record: FocusIteration, entries: Sequence[FocusEntry]) -> PageStep:
    return PageStep(
        iteration,
        record.expanded,
        record.collapsed,
        round(record.swap_rate, 4),
        record.cost,
        round(record.seconds, 4),
        lods=[entry.lod for entry in entries],
        tokens=[entry.end_token - entry.start_token for entry in entries],
        scores=[round(entry.score, 3) for entry in entries],
    )


def _raw_entries_of(citation: Citation, entries: Sequence[FocusEntry]) -> list[FocusEntry]:
    return [
        entry
        for entry in entries
        if entry.lod == 0
        and entry.path == citation.path
        and entry.start_char is not None
        and citation.start_char <= entry.start_char < citation.end_char
    ]


def _citation(citation: Citation, entries: Sequence[FocusEntry]) -> PageCitation:
    """A citation with its tokens; an empty range where the entries do not hold it."""
    raw = _raw_entries_of(citation, entries)
    start, end = (raw[0].start_token, raw[-1].end_token) if raw else (0, 0)
    place = (citation.path, citation.start_line, citation.end_line)
    return PageCitation(*place, start, end, citation.text, citation.delta_nats)


def _documents(tree: Tree, questions: Sequence[PageQuestion]) -> PageDocuments:
    """The documents in focus, and the largest of the others."""
    timeline, sizes = tree.timeline, tree.timeline.n_tokens
    named = np.ones(len(sizes), np.bool_)
    if len(sizes) > NAMED_DOCUMENTS:
        in_focus = _documents_in_focus(timeline.start_token, questions)
        order = np.lexsort((-sizes, ~in_focus))
        named[order[NAMED_DOCUMENTS:]] = False
    chosen = np.flatnonzero(named)
    lines: list[list[int]] = []
    if timeline.total_blocks <= LINED_BLOCKS:
        for place in chosen.tolist():
            document = tree.documents[place]
            starts = tree.line_starts(np.arange(document.first_block, document.end_block))
            lines.append(np.diff(starts).tolist())
    return PageDocuments(
        paths=[tree.documents[place].path for place in chosen.tolist()],
        starts=timeline.start_token[chosen].tolist(),
        tokens=sizes[chosen].tolist(),
        first_blocks=timeline.first_block[chosen].tolist(),
        line_steps=lines,
        left_out=len(sizes) - len(chosen),
    )


def _documents_in_focus(start_token: npt.NDArray[np.int64], questions: Sequence[PageQuestion]) -> Flags:
    in_focus = np.zeros(len(start_token) - 1, np.bool_)
    for question in questions:
        for step in question.steps:
            begins = np.cumsum([0, *step.tokens])[:-1]
            raw = begins[np.array(step.lods) == 0]
            in_focus[np.searchsorted(start_token, raw, side="right") - 1] = True
    return in_focus


def _documents_of(entries: Sequence[FocusEntry]) -> PageDocuments:
    """What entries alone tell of documents: runs of entries of one path."""
    paths: list[str] = []
    ranges: list[tuple[int, int]] = []
    for before, entry in pairwise([None, *entries]):
        if entry is None or entry.path is None:
            continue
        if before is not None and before.path == entry.path:
            ranges[-1] = (ranges[-1][0], entry.end_token)
        else:
            paths.append(entry.path)
            ranges.append((entry.start_token, entry.end_token))
    return PageDocuments(paths, [start for start, _ in ranges], [end - start for start, end in ranges], [], [], 0)


def _cited_texts(question: TracedQuestion) -> list[PageText]:
    """The text of the raw entries that are cited, cut out of the citations."""
    entries = question.steps[-1].entries if question.steps else question.entries
    texts = []
    for citation in _passages(question.answer):
        raw = _raw_entries_of(citation, entries)
        bounds = [(entry.start_char or 0) - citation.start_char for entry in raw] + [len(citation.text)]
        if raw:
            pieces = [citation.text[start:end] for start, end in pairwise(bounds)]
            texts.append(PageText(raw[0].start_token, citation.start_line, pieces))
    return texts


def _levels(tree: Tree) -> dict[str, list[int]]:
    """Tokens of each node by level, from LOD2 up; levels of very many nodes are left out."""
    levels: dict[str, list[int]] = {}
    for lod in range(2, TOP_LOD + 1):
        if tree.timeline.n_nodes(lod) <= LEVEL_NODES:
            start, end = tree.timeline.token_range_of(lod, tree.timeline.nodes_at(lod))
            levels[str(lod)] = (end - start).tolist()
    return levels


def _touched(tree: Tree) -> PageTouched:
    counts = [count for count in tree.access_counts() if int(tree.timeline.live_blocks_of(count.lod, count.index))]
    nodes = []
    for count in counts[:TOUCHED_NODES]:
        start, end = (int(token) for token in tree.timeline.token_range_of(count.lod, count.index))
        nodes.append([count.lod, count.index, start, end, count.expanded, count.collapsed, count.cited])
    return PageTouched(nodes, len(counts) - len(nodes))


def _json_bytes(record: Record) -> int:
    return len(json.dumps(record.to_json(), ensure_ascii=False).encode(errors="backslashreplace"))
