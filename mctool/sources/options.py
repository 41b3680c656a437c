"""What the user asks of a source: which files to take, and how large they may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from pathspec import GitIgnoreSpec

from mctool.core.errors import UsageError
from mctool.sources.ignore import compile_pattern

BYTES_PER_MB = 1_000_000


@dataclass(frozen=True)
class SourceOptions:
    """Which files of a directory are taken.

    Patterns are those of .gitignore, relative to the source. They say nothing about a file that is named itself.

    Attributes:
        include: Only matching files are taken; all when empty.
        exclude: Matching files and directories are dropped.
        max_file_mb: Larger files are skipped; millions of bytes.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_file_mb: float = 16.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_file_mb) and self.max_file_mb > 0):
            raise UsageError(f"--max-file-mb {self.max_file_mb} is not a positive number of megabytes")
        for option, patterns in (("--include", self.include), ("--exclude", self.exclude)):
            for pattern in patterns:
                if compile_pattern(pattern) is None:
                    raise UsageError(
                        f"{option} {pattern!r} is not a pattern that can match a file", "write it as in .gitignore"
                    )
        for pattern in self.include:
            if pattern.startswith("!"):
                raise UsageError(
                    f"--include {pattern!r} takes files away", f"use --exclude {pattern.removeprefix('!')!r}"
                )

    @property
    def max_bytes(self) -> int:
        """The size that a file may have, in bytes."""
        return int(self.max_file_mb * BYTES_PER_MB)

    @property
    def too_large(self) -> str:
        """The reason given for files above that size."""
        return f"larger than {self.max_file_mb:g} MB"

    @cached_property
    def include_spec(self) -> GitIgnoreSpec | None:
        """``include``, compiled; None when every file is taken."""
        return GitIgnoreSpec.from_lines(self.include) if self.include else None
