"""The use cases ``curate plan``, ``apply`` and ``restore``: pruning by access counts.

The text of documents that focus never or hardly touches is archived: gists and lens keys stay, so that the tree still
shows the whole timeline, but these blocks cannot be expanded until they are restored.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mctool.app.curate import nets_of
from mctool.app.intake import Progress
from mctool.app.text_nets import Report
from mctool.app.trees import locate_tree
from mctool.core.blocks import block_range
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import UsageError
from mctool.core.records import Record
from mctool.sources.names import matches
from mctool.tree import Tree, archive_documents
from mctool.tree.layout import LOD0, TEXT


@dataclass(frozen=True)
class PruneConfig:
    """How much text stays.

    Attributes:
        keep_fraction: Least share of the tokens whose text stays; None where ``max_gb`` decides.
        max_gb: Most gigabytes that the tree should take, its archive not counted; None where ``keep_fraction`` decides.
        protect: Documents whose path matches one of these globs are never archived.
    """

    keep_fraction: float | None = None
    max_gb: float | None = None
    protect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.keep_fraction is None) == (self.max_gb is None):
            raise UsageError("how much is to stay is not said, or twice", "give --keep-fraction or --max-gb")
        if self.keep_fraction is not None and not 0 <= self.keep_fraction <= 1:
            raise UsageError(f"--keep-fraction {self.keep_fraction} is not within 0 to 1")
        if self.max_gb is not None and not self.max_gb > 0:
            raise UsageError(f"--max-gb {self.max_gb} is not a positive number")


@dataclass(frozen=True)
class ColdDocument(Record):
    """A document to archive. ``touches`` counts how often focus expanded, collapsed or cited what is in it."""

    path: str
    tokens: int
    blocks: int
    touches: float


@dataclass(frozen=True)
class PrunePlan(Record):
    """Result of ``mctool curate plan``: the documents to archive, the coldest first.

    ``bytes`` is the size of the tree without its archive, ``bytes_after`` about what it would be. ``protected`` and
    ``archived`` documents are left out.
    """

    tree: str
    tokens: int
    tokens_to_archive: int
    bytes: int
    bytes_after: int
    protected: int
    archived: int
    documents: list[ColdDocument]


@dataclass(frozen=True)
class PruneReport(Record):
    """Result of ``mctool curate apply`` and ``restore``. Sizes are of the tree and of its archive as they are now."""

    tree: str
    documents: int
    tokens: int
    archived: int
    bytes: int
    archive_bytes: int
    seconds: float


def plan_pruning(tree: Path | None, config: PruneConfig) -> PrunePlan:
    """Which documents should be archived; nothing is changed.

    Args:
        tree: As given to ``--tree``; None for the nearest one.
        config: How much text stays.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The tree cannot be understood.
        UsageError: A protected glob matches no document.
    """
    with Tree.open(locate_tree(tree)) as opened:
        return _plan(opened, config)[0]


def apply_pruning(
    tree: Path | None,
    config: PruneConfig,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    progress: Progress | None = None,
    report: Report | None = None,
) -> PruneReport:
    """Archive what :func:`plan_pruning` would choose; arguments and what is raised as there and for ``compact``."""
    start = time.perf_counter()
    with Tree.open(locate_tree(tree)) as opened:
        plan, chosen = _plan(opened, config)
        nets = nets_of(opened, model, device, report) if chosen else None
        ids = [opened.documents[place].id for place in chosen]
        n_live = opened.timeline.total_blocks
    archive_documents(Path(plan.tree), nets, archive=ids, progress=_counted(progress, n_live))
    return _report(Path(plan.tree), len(chosen), plan.tokens_to_archive, start)


def restore(
    tree: Path | None,
    globs: tuple[str, ...] = (),
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    progress: Progress | None = None,
    report: Report | None = None,
) -> PruneReport:
    """Bring the text of archived documents back to the bit: of those that match a glob, or of all.

    Raises:
        UsageError: A glob matches no archived document.
        ResourceError: A file of the archive is not there; the tree is as it was.
        MctoolError: As for ``compact``.
    """
    start = time.perf_counter()
    with Tree.open(locate_tree(tree)) as opened:
        place, n_live = opened.path, opened.timeline.total_blocks
        archived = [opened.documents[one] for one in opened.archived.tolist()]
        for glob in globs:
            if not any(matches(document.path, glob) for document in archived):
                raise UsageError(f"{glob} matches none of {len(archived)} archived documents")
        chosen = [one for one in archived if not globs or any(matches(one.path, glob) for glob in globs)]
        nets = nets_of(opened, model, device, report) if chosen else None
    ids = [document.id for document in chosen]
    archive_documents(place, nets, restore=ids, progress=_counted(progress, n_live))
    return _report(place, len(chosen), sum(document.n_tokens for document in chosen), start)


def touches(tree: Tree) -> np.ndarray:
    """How often focus touched each live document, shape [documents].

    A coarse node that several documents share counts for each by its share of the node's live blocks.
    """
    timeline = tree.timeline
    found = np.zeros(len(tree.documents))
    for count in tree.access_counts():
        first, end = block_range(count.lod, count.index)
        low = int(np.searchsorted(timeline.end_block, first, side="right"))
        high = int(np.searchsorted(timeline.first_block, end, side="left"))
        if low >= high:
            continue
        inside = np.minimum(timeline.end_block[low:high], end) - np.maximum(timeline.first_block[low:high], first)
        found[low:high] += (count.expanded + count.collapsed + count.cited) * inside / inside.sum()
    return found


def _plan(tree: Tree, config: PruneConfig) -> tuple[PrunePlan, list[int]]:
    """The plan, and the indices of its documents."""
    documents, timeline = tree.documents, tree.timeline
    for glob in config.protect:
        if not any(matches(document.path, glob) for document in documents):
            raise UsageError(f"--protect {glob} matches no document", "`mctool inspect` lists them")
    protected = {
        place
        for place, document in enumerate(documents)
        if any(matches(document.path, glob) for glob in config.protect)
    }
    archived = set(tree.archived.tolist())
    sizes, raw_tokens = tree.bytes_by_array(), timeline.total_tokens - int(timeline.n_tokens[tree.archived].sum())
    bytes_each = (sizes.get(LOD0, 0) + sizes.get(TEXT, 0)) / max(raw_tokens, 1)
    size = tree.bytes_on_disk() - sizes.get(tree.layout.archive.name, 0)
    if config.keep_fraction is not None:
        enough = most = raw_tokens - config.keep_fraction * timeline.total_tokens
    else:
        enough, most = (size - (config.max_gb or 0.0) * 1e9) / max(bytes_each, 1e-9), math.inf
    touched = touches(tree)
    chosen: list[int] = []
    n_tokens = 0
    for place in np.argsort(touched, kind="stable").tolist():  # of equally cold ones the oldest first
        if n_tokens >= enough:
            break
        if place not in protected | archived and n_tokens + documents[place].n_tokens <= most:
            chosen.append(place)
            n_tokens += documents[place].n_tokens
    plan = PrunePlan(
        tree=str(tree.path),
        tokens=timeline.total_tokens,
        tokens_to_archive=n_tokens,
        bytes=size,
        bytes_after=size - round(n_tokens * bytes_each),
        protected=len(protected),
        archived=len(archived),
        documents=[
            ColdDocument(one.path, one.n_tokens, one.n_blocks, round(float(touched[place]), 3))
            for place, one in ((place, documents[place]) for place in chosen)
        ],
    )
    return plan, chosen


def _counted(progress: Progress | None, n_live: int) -> Callable[[int], None] | None:
    """A function that tells the blocks that have moved, out of all."""
    return None if progress is None else lambda n_blocks: progress(n_blocks, n_live)


def _report(place: Path, n_documents: int, n_tokens: int, start: float) -> PruneReport:
    with Tree.open(place) as tree:
        archive_bytes = tree.bytes_by_array().get(tree.layout.archive.name, 0)
        return PruneReport(
            tree=str(place),
            documents=n_documents,
            tokens=n_tokens,
            archived=len(tree.archived),
            bytes=tree.bytes_on_disk() - archive_bytes,
            archive_bytes=archive_bytes,
            seconds=time.perf_counter() - start,
        )
