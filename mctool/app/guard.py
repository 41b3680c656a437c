"""What is ingested only when the user confirms it: everything in a home directory, or very much."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mctool.app.scan import STDIN, SourceFile
from mctool.core.errors import UsageError

MAX_FILES = 20_000
MAX_BYTES = 1_000_000_000


def refuse_broad_sources(sources: Iterable[str]) -> None:
    """Refuse the home directory and what holds it, before anything is listed.

    Raises:
        UsageError: Names the directory.
    """
    home = Path.home().resolve()
    for source in sources:
        place = Path(os.path.realpath(source))  # unlike Path.resolve it takes a link to itself
        if source != STDIN and home.is_relative_to(place):
            what = "your home directory" if place == home else "a directory that holds your home"
            raise UsageError(
                f"{source} is {what}", "name directories in it, or add --yes; --dry-run counts what would be read"
            )


def refuse_much(files: list[SourceFile]) -> None:
    """Refuse to read more files, or more bytes, than anybody is likely to mean.

    Raises:
        UsageError: Says how many there are.
    """
    n_bytes = sum(found.file.size for found in files)
    if len(files) > MAX_FILES or n_bytes > MAX_BYTES:
        raise UsageError(
            f"there are {len(files):,} files of {n_bytes / 1e9:,.1f} GB to read "
            f"(more than {MAX_FILES:,} files or {MAX_BYTES / 1e9:g} GB)",
            "name fewer with --include or --exclude, or add --yes; --dry-run tells what it takes",
        )
