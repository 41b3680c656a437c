"""The use case ``inspect``: what a tree holds. Reads only, and needs no model."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np

from mctool.app.scan import RecordedPaths
from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD, block_range, parent
from mctool.core.errors import UsageError
from mctool.core.inspection import (
    AccessSummary,
    ColdDocument,
    ColdDocuments,
    DocumentList,
    DocumentPlace,
    DocumentText,
    HotSpan,
    HotSpans,
    NodeAccess,
    NodeReport,
    NodeSpan,
    TreeDocument,
    TreeIngest,
    TreeReport,
)
from mctool.render.lod_cells import Places
from mctool.sources.names import matches
from mctool.tree import CODEC, AccessCount, Document, Tree

NODE_TEXT_BLOCKS = 32
"""A report on a node holds the text of at most this many blocks: all of a LOD2 node."""

_NODE = re.compile(r"([0-9]+):([0-9]+)", re.ASCII)


def inspect_tree(tree: Tree) -> TreeReport:
    """What the tree holds, and how it came about.

    Raises:
        TreeDamagedError: The tree cannot be read.
    """
    timeline = tree.timeline
    counts = tree.access_counts()
    return TreeReport(
        tree=str(tree.path),
        model=tree.fingerprint.model,
        tokens=timeline.total_tokens,
        documents=_documents(tree),
        blocks=timeline.total_blocks,
        nodes={f"lod{lod}": timeline.n_nodes(lod) for lod in range(1, TOP_LOD + 1)},
        bytes_on_disk=tree.bytes_on_disk(),
        bytes_by_array=tree.bytes_by_array(),
        codec=CODEC,
        history=[
            TreeIngest(**{key: value for key, value in vars(ingest).items() if key != "id"})
            for ingest in tree.history()
        ],
        fingerprint=tree.fingerprint.to_json(),
        generation=tree.generation,
        access=AccessSummary(
            nodes=len(counts),
            expanded=sum(count.expanded for count in counts),
            collapsed=sum(count.collapsed for count in counts),
            cited=sum(count.cited for count in counts),
        ),
    )


def inspect_documents(tree: Tree, glob: str) -> DocumentList:
    """The documents whose path matches a glob.

    Raises:
        UsageError: None does.
    """
    found = [document for document in _documents(tree) if matches(document.path, glob)]
    if not found:
        raise UsageError(f"--doc {glob} matches none of {len(tree.documents)} documents", "try --doc '*'")
    return DocumentList(str(tree.path), found)


def inspect_text(tree: Tree, path: str) -> DocumentText:
    """The text of one document; characters and lines of citations count in it.

    Args:
        tree: The tree.
        path: As the tree records it, or the path of its file.

    Raises:
        UsageError: There is no such document.
        TreeDamagedError: The tree cannot be read.
    """
    recorded = RecordedPaths(tree.path).record(Path(os.path.abspath(path)))  # noqa: PTH100
    for name in (path, recorded):
        for document in tree.documents:
            if document.path == name:
                text = tree.text(document.first_block, document.end_block)
                marks = tree.marks(document)
                places = None if marks is None else [DocumentPlace(start, name) for start, name in marks]
                return DocumentText(document.path, document.encoding, text, places)
    raise UsageError(f"--text {path} is not a document of the tree", "`mctool inspect --doc '*'` lists them")


def parse_node(text: str) -> tuple[int, int]:
    """A node written ``LOD:INDEX``.

    Raises:
        UsageError: It is written otherwise, or there is no such level.
    """
    match = _NODE.fullmatch(text)
    if match is None:
        raise UsageError(f"--node {text} is not of the form LOD:INDEX", "write it as in --node 1:17")
    lod, index = int(match[1]), int(match[2])
    if lod > TOP_LOD:
        raise UsageError(f"--node {text} asks for LOD{lod}", f"the levels are 0 (raw text) to {TOP_LOD}")
    return lod, index


def inspect_node(tree: Tree, lod: int, index: int) -> NodeReport:
    """One node: its text, its place, its neighbours in the tree, and how often focus touched it.

    Raises:
        UsageError: The node is not live; says which are.
        TreeDamagedError: The tree cannot be read.
    """
    _require_live(tree, lod, index)
    timeline = tree.timeline
    start, end = timeline.token_range_of(lod, index)
    count = next((count for count in tree.access_counts() if (count.lod, count.index) == (lod, index)), None)
    gist_norm = None
    if lod and tree.has_gists:
        gist_norm = float(np.linalg.norm(tree.gists(lod, np.array([index])).astype(np.float32)))
    return NodeReport(
        tree=str(tree.path),
        lod=lod,
        index=index,
        start_token=int(start),
        end_token=int(end),
        blocks=int(timeline.live_blocks_of(lod, index)),
        parent=list(parent(lod, index)) if lod < TOP_LOD else None,
        children=[[lod - 1, child] for child in timeline.children(lod, index).tolist()] if lod else [],
        access=NodeAccess(count.expanded, count.collapsed, count.cited) if count else NodeAccess(0, 0, 0),
        gist_norm=gist_norm,
        spans=_spans(tree, lod, index),
    )


def inspect_hot(tree: Tree, limit: int) -> HotSpans:
    """The live nodes that focus has touched most often; those of retired documents are left out.

    Raises:
        UsageError: ``limit`` is below 1.
        TreeDamagedError: The tree cannot be read.
    """
    if limit < 1:
        raise UsageError(f"--hot {limit} is not a positive number of spans")
    spans: list[HotSpan] = []
    for count in tree.access_counts():
        if len(spans) == limit:
            break
        if int(tree.timeline.live_blocks_of(count.lod, count.index)):
            spans.append(_hot_span(tree, count))
    return HotSpans(str(tree.path), spans)


def inspect_cold(tree: Tree, limit: int) -> ColdDocuments:
    """The live documents that focus has touched least often; of equals the largest first.

    A node counts for a document when all of its live blocks are of that document; coarser ones tell nothing of it.

    Raises:
        UsageError: ``limit`` is below 1.
        TreeDamagedError: The tree cannot be read.
    """
    if limit < 1:
        raise UsageError(f"--cold {limit} is not a positive number of documents")
    sums = np.zeros((len(tree.documents), 3), np.int64)
    for count in tree.access_counts():
        runs = _documents_below(tree, count.lod, count.index)
        if len(runs) == 1:
            sums[tree.documents.index(runs[0][0])] += (count.expanded, count.collapsed, count.cited)
    order = np.lexsort((-tree.timeline.n_tokens, sums.sum(axis=1)))[:limit].tolist()
    starts = tree.timeline.start_token.tolist()
    return ColdDocuments(
        str(tree.path),
        [
            ColdDocument(
                tree.documents[place].path, starts[place], starts[place + 1], NodeAccess(*sums[place].tolist())
            )
            for place in order
        ],
    )


def find_places(tree: Tree) -> Places:
    """Where documents begin in the timeline, and a function that finds the lines of a run of blocks of one of them."""

    def line_range(start_token: int, end_token: int) -> tuple[int, int]:
        first, last = (_block_at(tree, token) for token in (start_token, end_token - 1))
        return tree.span(first, first + 1).start_line, tree.span(last, last + 1).end_line

    directory = _shared_directory([document.path for document in tree.documents])
    return Places(tree.timeline.start_token[:-1].tolist(), line_range, directory)


def _shared_directory(paths: Sequence[str]) -> str:
    """What all of several paths begin with, up to a slash; empty when they share nothing."""
    if len(paths) < 2:
        return ""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(paths), max(paths), strict=False))
    shared = "".join(letter for letter, _ in pairs)
    return shared[: shared.rfind("/") + 1]


def _documents(tree: Tree) -> list[TreeDocument]:
    starts, archived = tree.timeline.start_token.tolist(), set(tree.archived.tolist())
    return [
        TreeDocument(
            path=document.path,
            tokens=document.n_tokens,
            blocks=document.n_blocks,
            start_token=start,
            end_token=start + document.n_tokens,
            first_block=document.first_block,
            lines=document.n_lines,
            chars=document.n_chars,
            bytes=document.size,
            encoding=document.encoding,
            archived=place in archived,
        )
        for place, (document, start) in enumerate(zip(tree.documents, starts, strict=False))
    ]


def _require_live(tree: Tree, lod: int, index: int) -> None:
    live = tree.timeline.nodes_at(lod)
    if not len(live):
        raise UsageError(f"there is no node {lod}:{index}: the tree is empty", "ingest something first")
    # An index beyond 64 bits cannot be looked up.
    if index > int(live[-1]) or not int(tree.timeline.live_blocks_of(lod, index)):
        gaps = "" if len(live) == live[-1] - live[0] + 1 else ", with gaps where documents were retired"
        raise UsageError(
            f"there is no node {lod}:{index} in the tree",
            f"LOD{lod} has {len(live):,} live nodes, from {lod}:{live[0]} to {lod}:{live[-1]}{gaps}",
        )


def _documents_below(tree: Tree, lod: int, index: int) -> list[tuple[Document, int, int]]:
    """The live runs of blocks that a node covers: document, first block, end block."""
    first, end = block_range(lod, index)
    return [
        (document, max(first, document.first_block), min(end, document.end_block))
        for document in tree.documents
        if document.first_block < end and first < document.end_block
    ]


def _spans(tree: Tree, lod: int, index: int) -> list[NodeSpan]:
    spans: list[NodeSpan] = []
    room = NODE_TEXT_BLOCKS
    for document, first, end in _documents_below(tree, lod, index):
        head, tail = tree.span(first, first + 1), tree.span(end - 1, end)
        start_token, end_token = tree.timeline.token_start([first, end]).tolist()
        taken = min(end - first, room)
        room -= taken
        spans.append(
            NodeSpan(
                path=document.path,
                start_token=start_token,
                end_token=end_token,
                start_line=head.start_line,
                end_line=tail.end_line,
                start_char=head.start_char,
                end_char=tail.end_char,
                blocks=end - first,
                text_blocks=taken,
                text=tree.span(first, first + taken).text if taken else "",
            )
        )
    return spans


def _hot_span(tree: Tree, count: AccessCount) -> HotSpan:
    start, end = (int(token) for token in tree.timeline.token_range_of(count.lod, count.index))
    runs = _documents_below(tree, count.lod, count.index)
    path = start_line = end_line = None
    if len(runs) == 1:
        document, first, last = runs[0]
        path = document.path
        start_line, end_line = tree.span(first, first + 1).start_line, tree.span(last - 1, last).end_line
    access = NodeAccess(count.expanded, count.collapsed, count.cited)
    return HotSpan(count.lod, count.index, start, end, path, start_line, end_line, access)


def _block_at(tree: Tree, token: int) -> int:
    """The live block in which a token position lies."""
    timeline = tree.timeline
    document = int(np.searchsorted(timeline.start_token, token, side="right")) - 1
    return int(timeline.first_block[document]) + (token - int(timeline.start_token[document])) // BLOCK_TOKENS
