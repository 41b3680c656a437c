"""The records behind ``mctool inspect --html``: a tree and how focus moved over it, small enough for one page.

Tokens are positions in the live timeline, half open; lines count from 1. Long lists are columns: lists of equal length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mctool.core.records import Record

PAGE_VERSION = 1


@dataclass(frozen=True)
class PageTree(Record):
    """What the page is about; ``is_open`` is False where only a trace was at hand, and no tree to read text from."""

    path: str
    tokens: int
    blocks: int
    documents: int
    model: str
    is_open: bool


@dataclass(frozen=True)
class PageDocuments(Record):
    """The documents that the page names, in timeline order, as columns.

    Attributes:
        paths: Their names.
        starts: First token of each.
        tokens: Tokens of each.
        first_blocks: Block id at which each begins; empty without a tree.
        line_steps: For each, the lines by which each block but the first begins below the block before; empty
            without a tree and in trees with too many blocks.
        left_out: Documents that the page does not name.
    """

    paths: list[str]
    starts: list[int]
    tokens: list[int]
    first_blocks: list[int]
    line_steps: list[list[int]]
    left_out: int


@dataclass(frozen=True)
class PageText(Record):
    """The text of adjacent blocks of one document: ``blocks`` has that of each, ``start_line`` is that of the first.

    ``tokens`` has the characters of each token of each block; none where that is unknown.
    """

    start_token: int
    start_line: int
    blocks: list[str]
    tokens: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class PageStep(Record):
    """The entries after one refocus, as columns; step 0 is the cover that refocusing starts from."""

    iteration: int
    expanded: int
    collapsed: int
    swap_rate: float
    cost: int
    seconds: float
    lods: list[int]
    tokens: list[int]
    scores: list[float]


@dataclass(frozen=True)
class PageCitation(Record):
    """A citation with the tokens that it takes."""

    path: str
    start_line: int
    end_line: int
    start_token: int
    end_token: int
    text: str
    delta_nats: float | None


@dataclass(frozen=True)
class PageQuestion(Record):
    """One question; ``answer`` is None when a trace ends before it, and empty when only focus was asked for.

    Where the documents do not support an answer, ``citations`` are the nearest passages.
    """

    question: str
    w_max: int
    steps: list[PageStep]
    answer: str | None
    supported: bool
    citations: list[PageCitation]


@dataclass(frozen=True)
class PageTouched(Record):
    """Nodes that focus has touched, as rows [lod, index, start_token, end_token, expanded, collapsed, cited]."""

    nodes: list[list[int]]
    left_out: int


@dataclass(frozen=True)
class Page(Record):
    """Everything that one page shows. ``levels`` has, by level from LOD2, the tokens of each node of the tree."""

    version: int
    made_by: str
    tree: PageTree
    documents: PageDocuments
    levels: dict[str, list[int]]
    touched: PageTouched
    questions: list[PageQuestion]
    questions_left_out: int
    texts: list[PageText]
    text_blocks: int
