"""The records that commands print with ``--json`` and that the Python API returns.

Field names and types are a contract: outside programs read them. ``to_json`` gives plain dicts in field order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


class Record:
    """Base of all records: a frozen dataclass that can become plain JSON types."""

    def to_json(self) -> dict[str, Any]:
        """The record as dicts, lists, strings, numbers and None."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class Skipped(Record):
    """A file that was not ingested, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class DocumentCounts(Record):
    """What an ingest did to the documents of the tree."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    retired: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True)
class IngestSeconds(Record):
    """Wall time of an ingest by part. Parts overlap, so they may add up to more than ``total``."""

    read: float = 0.0
    tokenize: float = 0.0
    gist: float = 0.0
    keys: float = 0.0
    write: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class IngestReport(Record):
    """Result of ``mctool ingest``.

    ``nodes`` counts live nodes by level: ``{"lod1": 812, "lod2": 26, ...}``; ``keyed_blocks`` are those that got lens
    keys now.
    """

    tree: str
    model: str
    documents: DocumentCounts
    tokens: int
    tokens_added: int
    blocks: int
    nodes: dict[str, int]
    bytes_on_disk: int
    seconds: IngestSeconds
    tokens_per_second: float
    peak_rss_mb: float
    keyed_blocks: int = 0


@dataclass(frozen=True)
class Citation(Record):
    """A run of raw text that the answer rests on.

    Lines count from 1, both inclusive. Characters are half-open code point offsets into the decoded document.
    ``delta_nats`` is the log-likelihood that the answer loses when the run is collapsed; None when not measured.
    ``place`` says where in its file the run stands (``p. 12``, ``ch. "One"``, ``cell 4``), for documents whose text was
    extracted: lines and characters count in that text then. None where they are those of the file itself.
    """

    path: str
    start_line: int
    end_line: int
    start_char: int
    end_char: int
    text: str
    delta_nats: float | None = None
    place: str | None = None


@dataclass(frozen=True)
class FocusIteration(Record):
    """One refocus: how many entries were expanded and collapsed, and the cost of the working context after it."""

    expanded: int
    collapsed: int
    swap_rate: float
    cost: int
    seconds: float


@dataclass(frozen=True)
class FocusEntry(Record):
    """One entry of a working context; ``path`` and characters are None when it spans several documents."""

    lod: int
    start_token: int
    end_token: int
    cost: int
    score: float
    path: str | None
    start_char: int | None
    end_char: int | None


@dataclass(frozen=True)
class FocusReport(Record):
    """The final working context, and how focus got there."""

    w_max: int
    cost: int
    iterations: list[FocusIteration]
    entries: list[FocusEntry]


@dataclass(frozen=True)
class TreeSummary(Record):
    """Which tree answered; ``stale`` lists documents whose file has changed since it was ingested."""

    path: str
    tokens: int
    documents: int
    stale: list[str]


@dataclass(frozen=True)
class Usage(Record):
    """What the base model read and wrote.

    ``prompt_tokens`` is everything that it read (at most W_max); ``window_slots`` is the part that the working
    context took, raw tokens and gists.
    """

    prompt_tokens: int
    window_slots: int
    completion_tokens: int


@dataclass(frozen=True)
class AskSeconds(Record):
    """Wall time of an answer by part; ``first_token`` and ``total`` count from the start of the call."""

    load: float
    lens: float
    focus: float
    prefill: float
    decode: float
    first_token: float
    total: float


@dataclass(frozen=True)
class AskReport(Record):
    """Result of ``mctool ask``.

    ``style`` is ``short`` or ``long``. ``lora`` names the adapter that the base model answered with, None without one;
    ``support`` tells, as log odds, whether the text holds an answer, by the adapter and by what the lens found.
    ``nearest`` are the passages that focus found where they do not support an answer.
    """

    question: str
    answer: str
    supported: bool
    citations: list[Citation]
    focus: FocusReport
    model: str
    lens: str
    positions: str
    tree: TreeSummary
    usage: Usage
    seconds: AskSeconds
    peak_rss_mb: float
    style: str = "short"
    lora: str | None = None
    support: float | None = None
    nearest: list[Citation] = field(default_factory=list)
