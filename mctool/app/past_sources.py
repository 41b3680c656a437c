"""What was ingested into a tree before, so that it can be looked at again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mctool.app.scan import STDIN, RecordedPaths, Scan, scan_documents, scan_sources
from mctool.sources import SourceOptions
from mctool.tree import Document

REFRESHED = "(refresh)"
"""What the history names as the source of a refresh."""

_HEADS = _INCLUDE, _EXCLUDE, _MAX_FILE_MB = ("--include=", "--exclude=", "--max-file-mb=")


def recorded_sources(sources: Iterable[str], options: SourceOptions, paths: RecordedPaths) -> list[str]:
    """Sources and the options that choose their files, as the history keeps them: paths as those of documents."""
    return [
        *(source if source == STDIN else paths.record(Path(os.path.abspath(source))) for source in sources),  # noqa: PTH100
        *(_INCLUDE + pattern for pattern in options.include),
        *(_EXCLUDE + pattern for pattern in options.exclude),
        *([f"{_MAX_FILE_MB}{options.max_file_mb}"] if options.max_file_mb != SourceOptions.max_file_mb else []),
    ]


def scan_again(documents: Iterable[Document], history: Iterable[Sequence[str]], paths: RecordedPaths) -> Scan:
    """The files of a tree's documents, and what is new in the directories that were ingested.

    Args:
        documents: The live documents.
        history: What :func:`recorded_sources` gave for each ingest.
        paths: Of the tree.
    """
    scan = scan_documents(documents, paths)
    for directories, options in _directories(history, paths):
        found = scan_sources(directories, options, paths)
        for path, file in found.files.items():
            scan.files.setdefault(path, file)
    return scan


def _directories(history: Iterable[Sequence[str]], paths: RecordedPaths) -> Iterator[tuple[list[str], SourceOptions]]:
    """The directories of each ingest that are still there, and which of their files it took; each once."""
    for recorded in dict.fromkeys(map(tuple, history)):
        includes, excludes, sizes = (
            [entry.removeprefix(head) for entry in recorded if entry.startswith(head)] for head in _HEADS
        )
        options = SourceOptions(tuple(includes), tuple(excludes))
        if sizes:
            options = replace(options, max_file_mb=float(sizes[-1]))
        named = [entry for entry in recorded if entry not in (STDIN, REFRESHED) and not entry.startswith(_HEADS)]
        directories = [place for entry in named if Path(place := paths.places(entry)[0]).is_dir()]
        if directories:
            yield directories, options
