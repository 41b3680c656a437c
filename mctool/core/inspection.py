"""The records of ``mctool inspect``: what a tree holds, one node of it, and a replayed trace.

As in :mod:`mctool.core.records`, field names and types are a contract. Tokens are positions in the live timeline, half
open; lines count from 1, both inclusive; characters are half-open code points of the decoded document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mctool.core.records import Citation, FocusEntry, FocusIteration, Record


@dataclass(frozen=True)
class TreeDocument(Record):
    """A live document; ``bytes`` is the size of its file. The text of an ``archived`` one cannot be read now."""

    path: str
    tokens: int
    blocks: int
    start_token: int
    end_token: int
    first_block: int
    lines: int
    chars: int
    bytes: int
    encoding: str
    archived: bool = False


@dataclass(frozen=True)
class TreeIngest(Record):
    """One committed ingest; the counts are of documents. ``started_at`` is ISO 8601 in UTC."""

    started_at: str
    seconds: float
    sources: list[str]
    version: str
    added: int
    updated: int
    unchanged: int
    retired: int
    skipped: int
    tokens_added: int


@dataclass(frozen=True)
class AccessSummary(Record):
    """How often focus touched the tree: nodes that were ever touched, and sums over them."""

    nodes: int
    expanded: int
    collapsed: int
    cited: int


@dataclass(frozen=True)
class TreeReport(Record):
    """A whole tree. ``nodes`` counts live nodes by level; ``fingerprint`` is what the tree was made with."""

    tree: str
    model: str
    tokens: int
    documents: list[TreeDocument]
    blocks: int
    nodes: dict[str, int]
    bytes_on_disk: int
    bytes_by_array: dict[str, int]
    codec: str
    history: list[TreeIngest]
    fingerprint: dict[str, Any]
    generation: int
    access: AccessSummary


@dataclass(frozen=True)
class DocumentList(Record):
    """The documents that match a glob."""

    tree: str
    documents: list[TreeDocument]


@dataclass(frozen=True)
class DocumentPlace(Record):
    """A place of a document whose text was extracted, and the character at which it begins."""

    start_char: int
    name: str


@dataclass(frozen=True)
class DocumentText(Record):
    """The text of a document; ``places`` is None where it is that of the file."""

    path: str
    encoding: str
    text: str
    places: list[DocumentPlace] | None


@dataclass(frozen=True)
class NodeAccess(Record):
    """How often focus expanded, collapsed and cited one node."""

    expanded: int
    collapsed: int
    cited: int


@dataclass(frozen=True)
class NodeSpan(Record):
    """The part of a node that lies in one document. ``text`` is that of its first ``text_blocks`` blocks."""

    path: str
    start_token: int
    end_token: int
    start_line: int
    end_line: int
    start_char: int
    end_char: int
    blocks: int
    text_blocks: int
    text: str


@dataclass(frozen=True)
class NodeReport(Record):
    """One node. Parent and children are [lod, index]; ``gist_norm`` is None without a gist."""

    tree: str
    lod: int
    index: int
    start_token: int
    end_token: int
    blocks: int
    parent: list[int] | None
    children: list[list[int]]
    access: NodeAccess
    gist_norm: float | None
    spans: list[NodeSpan]


@dataclass(frozen=True)
class HotSpan(Record):
    """A live node that focus has touched; path and lines are None when it spans several documents."""

    lod: int
    index: int
    start_token: int
    end_token: int
    path: str | None
    start_line: int | None
    end_line: int | None
    access: NodeAccess


@dataclass(frozen=True)
class HotSpans(Record):
    """The live nodes that focus has touched most often, those first."""

    tree: str
    spans: list[HotSpan]


@dataclass(frozen=True)
class ColdDocument(Record):
    """A live document and how often focus touched blocks of it or of gists within it."""

    path: str
    start_token: int
    end_token: int
    access: NodeAccess


@dataclass(frozen=True)
class ColdDocuments(Record):
    """The live documents that focus has touched least often, those first; of equals the largest first."""

    tree: str
    documents: list[ColdDocument]


@dataclass(frozen=True)
class TraceStep(Record):
    """One refocus of a trace: the nodes [lod, index] that it expanded and collapsed, and the entries after it."""

    iteration: int
    expand: list[list[int]]
    collapse: list[list[int]]
    record: FocusIteration
    entries: list[FocusEntry]


@dataclass(frozen=True)
class TracedAnswer(Record):
    """The answer at the end of a traced question; an empty ``answer`` when only the focus was asked for.

    ``nearest`` are the passages that focus found where they do not support an answer.
    """

    answer: str
    supported: bool
    citations: list[Citation]
    nearest: list[Citation] = field(default_factory=list)


@dataclass(frozen=True)
class TracedQuestion(Record):
    """One question of a trace: the first cover, each refocus, and the answer; None when it was cut short."""

    question: str
    w_max: int
    tree: str
    tokens: int
    entries: list[FocusEntry]
    steps: list[TraceStep]
    answer: TracedAnswer | None
