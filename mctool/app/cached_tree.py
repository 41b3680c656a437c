"""Trees for questions about files that belong to no tree: kept in the cache, one for each set of sources."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from mctool.app.ingest import IngestConfig, ingest
from mctool.nets.key_folder import CARD_FILE, find_key_encoder
from mctool.nets.model_cache import cache_root
from mctool.version import __version__


def cached_tree(sources: list[str], model: str, device: str, report: Callable[[str], None]) -> Path:
    """Bring the cached tree of some sources up to date, and tell where it is.

    Raises:
        SourceError: A source is missing or cannot be read; questions about the others alone would mislead.
    """
    places = sorted(source if source == "-" else os.path.abspath(source) for source in sources)  # noqa: PTH100
    encoder = find_key_encoder()
    card = (encoder / CARD_FILE).read_text() if encoder else ""  # nobody can be asked to make the keys of such a tree
    key = hashlib.sha256(json.dumps([places, model, __version__, card]).encode()).hexdigest()[:24]
    tree = cache_root() / "trees" / key / ".mctool"
    tree.parent.mkdir(parents=True, exist_ok=True)
    config = IngestConfig(tuple(sources), tree=tree, model=model, device=device, confirmed=False)
    result = ingest(config, report=report)
    if result.source_error is not None:
        raise result.source_error
    if result.error is not None:
        report(result.error.message)
    return tree
