"""Bringing the documents of a tree up to date without naming sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mctool.app.ingest import IngestConfig, ingest
from mctool.app.trees import locate_tree
from mctool.core.records import DocumentCounts
from mctool.sources import SourceOptions, file_of
from mctool.tree import Document, Tree

_USUAL_MB = SourceOptions.max_file_mb
_ROOM_TO_GROW = 2


def refresh(tree: Path | None, model: str, device: str, report: Callable[[str], None]) -> DocumentCounts:
    """Read what changed since the last ingest: changed files, new ones in directories that were ingested, missing ones.

    What cannot be read now stays as it was, and is reported.

    Args:
        tree: As given to ``--tree``; None for the nearest one.
        model: Name of the base model.
        device: Where gists are made.
        report: Takes a line for the user.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeBusyError: Another process is writing to the tree.
        MismatchError: The tree was made with another model.
    """
    place = locate_tree(tree)
    with Tree.open(place) as opened:
        largest = max((_size(document, place) for document in opened.documents), default=0)
    options = SourceOptions(max_file_mb=max(_USUAL_MB, _ROOM_TO_GROW * largest / 1e6))
    config = IngestConfig((), place, model, device, options=options, refresh=True)
    result = ingest(config, report=report)
    if result.error is not None:
        report(f"not refreshed: {result.error.message}")
    return result.report.documents


def _size(document: Document, tree: Path) -> int:
    """The size of the file as it is now, or was."""
    try:
        return os.stat(tree.parent / file_of(document.path)).st_size  # noqa: PTH116
    except OSError:
        return document.size
