"""What ingesting a token takes: measured on a sample where the model is here, else by experience."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mctool.app.ingest import IngestConfig, ingest
from mctool.nets.key_folder import find_key_encoder
from mctool.sources.names import is_code
from mctool.tree import TREE_NAME, Tree

SAMPLE_CHARS = 40_000
"""Of the text that is ingested to measure: about 10,000 tokens, a second or two."""

SAMPLE_PARTS = 24
"""Most texts that it comes from."""

_MIN_HISTORY_TOKENS = 20_000
"""Ingests that added less say little about the rate."""

_MIN_SAMPLE_TOKENS = 1_000
"""A smaller sample says nothing about bytes."""

_EMPTY_BYTES = 75_000
"""Of a tree with hardly a token."""

_WRITTEN_TOKENS_PER_SECOND = 300_000.0
"""By experience: what the sample takes to be written are the fixed costs of a commit, above all."""


@dataclass(frozen=True)
class IngestCost:
    """What an ingest takes.

    Attributes:
        basis: Where the figures come from: earlier ingests into the tree, a sample of the text that was ingested into
            a temporary tree, or experience with other machines.
        start_seconds: Until the nets are loaded.
        tokens_per_second: After that.
        bytes_per_token: Growth of the tree on disk.
        empty_bytes: Size of a new tree.
    """

    basis: Literal["history", "sample", "experience"]
    start_seconds: float
    tokens_per_second: float
    bytes_per_token: float
    empty_bytes: int = 0

    def seconds(self, n_tokens: int) -> float:
        """Time for a number of tokens."""
        return self.start_seconds + n_tokens / self.tokens_per_second if n_tokens else 0.0

    def bytes(self, n_tokens: int) -> int:
        """Growth on disk by a number of tokens."""
        return round(self.empty_bytes + n_tokens * self.bytes_per_token) if n_tokens else 0


def cost_by_experience() -> IngestCost:
    """Measured on two cores, with gists of width 576; with and without lens keys."""
    if find_key_encoder() is None:
        return IngestCost("experience", 2.0, 15_000.0, 35.0, _EMPTY_BYTES)
    return IngestCost("experience", 3.0, 9_000.0, 48.6, _EMPTY_BYTES)


def cost_by_history(tree: Tree) -> IngestCost | None:
    """By the last large ingest into a tree; None where there was none."""
    large = [ingest for ingest in tree.history() if ingest.tokens_added >= _MIN_HISTORY_TOKENS]
    if not large:
        return None
    stored = sum(ingest.tokens_added for ingest in tree.history())
    rate = large[-1].tokens_added / large[-1].seconds
    return IngestCost("history", cost_by_experience().start_seconds, rate, tree.bytes_on_disk() / stored)


def cost_by_sample(config: IngestConfig, texts: Sequence[tuple[str, str]], is_new: bool) -> IngestCost:
    """Ingest a part of each text into a temporary tree, as this machine does it now.

    Args:
        config: Names the model, which must be on this machine, and the device.
        texts: File suffix and text, at least one; texts of documents are ingested as plain text.
        is_new: The tree is yet to be made.

    Raises:
        MismatchError: The nets cannot be used.
        MissingBackendError: The device is not on this machine.
        ResourceError: There is no room for the sample.
    """
    with tempfile.TemporaryDirectory(prefix="mctool-", ignore_cleanup_errors=True) as place:
        names = [f"{number}{suffix}" for number, (suffix, _) in enumerate(texts)]
        files = [Path(place) / (name if is_code(name) else f"{name}.txt") for name in names]
        for file, (_, text) in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
        sample = IngestConfig(tuple(map(str, files)), Path(place) / TREE_NAME, config.model, config.device)
        report = ingest(sample).report
    seconds = report.seconds
    # Reading goes on beside the rest, which is done one after the other; what is left is loading, and the commit.
    working = seconds.tokenize + seconds.gist + seconds.keys
    known = cost_by_experience()
    per_token = known.bytes_per_token
    if report.tokens_added >= _MIN_SAMPLE_TOKENS:
        per_token = (report.bytes_on_disk - _EMPTY_BYTES) / report.tokens_added
    return IngestCost(
        "sample",
        start_seconds=seconds.total - working,
        tokens_per_second=1 / (working / report.tokens_added + 1 / _WRITTEN_TOKENS_PER_SECOND),
        bytes_per_token=max(per_token, 1.0),
        empty_bytes=_EMPTY_BYTES if is_new else 0,
    )
