"""The use case ``curate``: keeping a tree small and quick."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mctool.app.intake import Progress
from mctool.app.text_nets import Report, TextNets
from mctool.app.trees import locate_tree
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import TreeBusyError
from mctool.core.records import Record
from mctool.nets.model_store import resolve_model
from mctool.tree import Compaction, Tree, compact_tree


@dataclass(frozen=True)
class CompactReport(Record):
    """Result of ``mctool curate compact``.

    ``merged`` segments became ``made`` new ones, with the ``moved_blocks`` that are live and without the
    ``dropped_blocks`` of retired documents. All are 0 when there was nothing to do. The sizes are of the whole tree;
    old segments that somebody still reads go with a later ingest.
    """

    tree: str
    segments: int
    merged: int
    made: int
    moved_blocks: int
    dropped_blocks: int
    bytes_before: int
    bytes_after: int
    seconds: float


def compact(
    tree: Path | None,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    progress: Progress | None = None,
    report: Report | None = None,
) -> CompactReport:
    """Merge all small segments of a tree, and let go of what is retired.

    Args:
        tree: As given to ``--tree``; None for the nearest one.
        model: The base model that the tree was made with.
        device: Where coarse gists are made.
        progress: Told the blocks that have moved, and the live blocks.
        report: Takes a line for the user.

    Raises:
        TreeNotFoundError: There is no tree.
        MismatchError: The tree was made with another model or GistNet.
        MissingBackendError: The model is not here.
        TreeBusyError: Another process is writing to the tree.
        TreeDamagedError: The tree cannot be understood.
        ResourceError: Out of memory or disk; the tree is as it was.
    """
    start = time.perf_counter()
    place = locate_tree(tree)
    with Tree.open(place) as opened:
        before, n_live = opened.bytes_on_disk(), opened.timeline.total_blocks
        nets = nets_of(opened, model, device, report)

    def moved(n_blocks: int) -> None:
        if progress is not None:
            progress(n_blocks, n_live)

    done = compact_tree(place, nets, everything=True, progress=moved)
    with Tree.open(place) as opened:
        return CompactReport(
            tree=str(place),
            segments=opened.n_segments,
            merged=done.merged,
            made=done.made,
            moved_blocks=done.moved_blocks,
            dropped_blocks=done.dropped_blocks,
            bytes_before=before,
            bytes_after=opened.bytes_on_disk(),
            seconds=time.perf_counter() - start,
        )


def nets_of(tree: Tree, model: str, device: str, report: Report | None) -> TextNets | None:
    """What makes coarse gists for a tree; None for a tree without gists. Raises as :func:`compact` does."""
    if not tree.has_gists:
        return None
    nets = TextNets(resolve_model(model, report=report), device, report or (lambda _line: None))
    nets.expect(tree.fingerprint)
    return nets


def compact_if_due(place: Path, nets: TextNets, has_gists: bool) -> Compaction:
    """Merge segments after an ingest, if enough small ones have gathered; another writer may do it as well.

    Args:
        place: The tree.
        nets: What the ingest made it with.
        has_gists: Whether the tree holds gists.

    Raises:
        TreeDamagedError: A segment cannot be read.
        ResourceError: Out of memory or disk; the tree is as the ingest left it.
    """
    with suppress(TreeBusyError):
        return compact_tree(place, nets if has_gists else None)
    return Compaction()
