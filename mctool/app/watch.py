"""Waiting for changes of files, for ``ingest --watch``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mctool.app.ingest import IngestConfig
from mctool.app.scan import STDIN, RecordedPaths
from mctool.app.trees import place_for_tree
from mctool.core.errors import MissingBackendError, SourceError, UsageError

DEBOUNCE_MS = 800
"""Changes that come within this time of each other are ingested together."""

_POLL_MS = 500


def watch_sources(config: IngestConfig) -> Iterator[bool]:
    """Wait until something may have changed in the sources of an ingest, again and again, until Ctrl-C.

    Changes of the tree itself, of version control and of caches do not count. The sources are watched from the first
    ``next`` on: what changes while the caller ingests is not missed.

    Yields:
        True after a change; False about twice a second without one.

    Raises:
        UsageError: Standard input is a source.
        SourceError: A source is not there.
        MissingBackendError: watchfiles is not installed.
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    try:
        from watchfiles import Change, DefaultFilter, watch
    except ImportError as error:
        raise MissingBackendError(
            "--watch needs the package watchfiles", 'install it with `pip install "mctool[watch]"`'
        ) from error
    if STDIN in config.sources:
        raise UsageError("--watch cannot wait for changes of standard input (-)", "name files or directories")
    sources = [Path(os.path.abspath(source)) for source in config.sources]  # noqa: PTH100  (links stay)
    for source in sources:
        if not source.exists():
            raise SourceError(f"{source} does not exist", "check the path")
    paths = RecordedPaths(place_for_tree(config.tree))
    usual = DefaultFilter()
    files = {str(place) for source in sources if source.is_file() for place in (source, source.resolve())}
    roots = [place for source in sources if source.is_dir() for place in (source, source.resolve())]

    def counts(change: Change, name: str) -> bool:
        path = Path(name)
        if name in files:
            return True
        return any(map(path.is_relative_to, roots)) and not paths.in_tree(path) and usual(change, name)

    # A file is watched by its directory: editors put a new file in its place.
    watched = {source if source.is_dir() else source.parent for source in sources}
    yield from (
        bool(changes)
        for changes in watch(
            *watched, watch_filter=counts, debounce=DEBOUNCE_MS, rust_timeout=_POLL_MS, yield_on_timeout=True
        )
    )
