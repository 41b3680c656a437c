"""Which tree a command is about."""

from __future__ import annotations

from pathlib import Path

from mctool.core.errors import ResourceError, TreeNotFoundError, UsageError
from mctool.tree import TREE_NAME, Layout, find_tree


def locate_tree(tree: Path | None) -> Path:
    """The tree that is meant, for reading.

    Args:
        tree: As given to ``--tree``: a tree, or the directory that holds one as ``.mctool``; None for the nearest one
            at or above the working directory.

    Raises:
        TreeNotFoundError: There is none.
    """
    if tree is None:
        found = find_tree(Path.cwd())
        if found is None:
            raise TreeNotFoundError(
                f"there is no {TREE_NAME} in {Path.cwd()} or above it",
                "make one with `mctool ingest SOURCE`, or name one with --tree PATH",
            )
        return found
    found = _tree_at(tree)
    if found is None:
        raise TreeNotFoundError(f"there is no tree at {tree}", "make one with `mctool ingest SOURCE --tree PATH`")
    return found


def place_for_tree(tree: Path | None) -> Path:
    """The tree that is meant, for an ingest, which makes it when it is not there.

    Args:
        tree: As in :func:`locate_tree`; None for the nearest one, else ``.mctool`` in the working directory.

    Raises:
        UsageError: The place is a file, or a directory that holds something else.
    """
    if tree is None:
        return find_tree(Path.cwd()) or Path.cwd() / TREE_NAME
    found = _tree_at(tree)
    if found is not None:
        return found
    if tree.is_dir() and _holds_other_files(tree):
        raise UsageError(f"--tree {tree} is a directory with other files in it", f"use --tree {tree / TREE_NAME}")
    if tree.exists() and not tree.is_dir():
        raise UsageError(f"--tree {tree} is a file", "name a directory")
    return tree.absolute()


def _tree_at(tree: Path) -> Path | None:
    """The tree at a place or in it; a damaged one, of which only the segments are left, counts too."""
    for layout in (Layout(tree), Layout(tree / TREE_NAME)):
        if layout.catalog.is_file() or any(layout.segments.glob("*/zarr.json")):
            return layout.root.absolute()
    return None


def _holds_other_files(directory: Path) -> bool:
    try:
        return any(entry != Layout(directory).segments for entry in directory.iterdir())
    except OSError as error:
        raise ResourceError(f"cannot read {directory}: {error.strerror}", "check its permissions") from error
