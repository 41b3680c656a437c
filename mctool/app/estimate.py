"""The use case ``ingest --dry-run``: what an ingest would do and take, without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.app.ingest import IngestConfig, combined
from mctool.app.read_ahead import read_contents
from mctool.app.scan import RecordedPaths, SourceFile, compare, scan_sources
from mctool.app.trees import place_for_tree
from mctool.core.errors import MissingBackendError
from mctool.core.records import Record, Skipped
from mctool.nets.key_folder import find_key_encoder
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources import Extractor, TextDocument
from mctool.tree import Document, Layout, Tree

_SAMPLE_FILES = 24
_SAMPLE_BYTES = 500_000
_BYTES_PER_TOKEN = 3.6
"""Of prose and code, when there is nothing to measure it with."""

_TOKENS_PER_SECOND = 15_000.0
_START_SECONDS = 2.0
"""Until the nets are loaded."""

_DISK_BYTES_PER_TOKEN = 35.0
"""Measured with gists of width 576, which are most of it, and without lens keys."""

_KEY_BYTES_PER_TOKEN = 12.1
_KEY_TOKENS_PER_SECOND = 23_000.0

_MIN_HISTORY_TOKENS = 20_000
"""Ingests that added less say little about the rate."""


@dataclass(frozen=True)
class IngestEstimate(Record):
    """What an ingest would do.

    Attributes:
        tree: The tree that it would fill.
        exists: Whether the tree is there.
        new: Files that would be read and are not in the tree.
        changed: Files that would be read again.
        unchanged: Files that would not be read.
        retired: Documents that would be retired.
        skipped: What would be left out by its name, and why.
        bytes: Size of the files that would be read.
        tokens: Estimate of their tokens, from a sample.
        seconds: Estimate of the time.
        bytes_on_disk: Estimate of what the tree would grow by.
    """

    tree: str
    exists: bool
    new: int
    changed: int
    unchanged: int
    retired: int
    skipped: list[Skipped]
    bytes: int
    tokens: int
    seconds: float
    bytes_on_disk: int


def estimate_ingest(config: IngestConfig) -> IngestEstimate:
    """Tell what an ingest would do. Writes and downloads nothing, and does not read standard input.

    Raises:
        SourceError: None of the sources can be read.
        UsageError: The place of the tree is not one for a tree.
        TreeDamagedError: The tree cannot be understood.
    """
    layout = Layout(place_for_tree(config.tree))
    paths = RecordedPaths(layout.root)
    scan = scan_sources(config.sources, config.options, paths)
    if len(scan.failures) == len(config.sources) and (failure := combined(scan.failures)):
        raise failure
    exists = layout.catalog.is_file()
    rate, growth = _guessed()
    documents: list[Document] = []
    if exists:
        with Tree.open(layout.root) as tree:
            documents = tree.documents
            rate, growth = _measured(tree)
    comparison = compare(scan, documents, paths)
    n_bytes = sum(found.file.size for found in comparison.to_read)
    tokens = round(n_bytes * _tokens_per_byte(config, comparison.to_read))
    live = {document.path for document in documents}
    changed = sum(found.path in live for found in comparison.to_read)
    return IngestEstimate(
        tree=str(layout.root),
        exists=exists,
        new=len(comparison.to_read) - changed,
        changed=changed,
        unchanged=comparison.unchanged,
        retired=len(comparison.gone),
        skipped=scan.skipped,
        bytes=n_bytes,
        tokens=tokens,
        seconds=_START_SECONDS + tokens / rate if tokens else 0.0,
        bytes_on_disk=round(tokens * growth),
    )


def _guessed() -> tuple[float, float]:
    """Tokens per second and bytes on disk per token where nothing has been measured."""
    if find_key_encoder() is None:
        return _TOKENS_PER_SECOND, _DISK_BYTES_PER_TOKEN
    rate = 1 / (1 / _TOKENS_PER_SECOND + 1 / _KEY_TOKENS_PER_SECOND)
    return rate, _DISK_BYTES_PER_TOKEN + _KEY_BYTES_PER_TOKEN


def _measured(tree: Tree) -> tuple[float, float]:
    """Tokens per second of the last large ingest, and bytes on disk per token, of a tree that has them."""
    large = [ingest for ingest in tree.history() if ingest.tokens_added >= _MIN_HISTORY_TOKENS]
    if not large:
        return _guessed()
    stored = sum(ingest.tokens_added for ingest in tree.history())
    return large[-1].tokens_added / large[-1].seconds, tree.bytes_on_disk() / stored


def _tokens_per_byte(config: IngestConfig, files: list[SourceFile]) -> float:
    """Tokens per byte of a sample that is spread over the files; a guess when the model is not on this machine.

    Files of the sample that turn out to be no text count as bytes without tokens.
    """
    try:
        tokenizer = TextTokenizer.load(resolve_model(config.model, allow_download=False))
    except MissingBackendError:
        return 1 / _BYTES_PER_TOKEN
    step = max(1, len(files) // _SAMPLE_FILES)
    n_bytes = n_tokens = 0
    with Extractor() as extractor:
        for found in files[::step]:
            contents = read_contents(found, config.options, extractor)
            n_bytes += found.file.size
            for text in (content.text for _, content in contents if isinstance(content, TextDocument)):
                part = text[:_SAMPLE_BYTES]
                n_tokens += round(len(tokenizer.encode_with_offsets(part)[0]) * len(text) / len(part))
            if n_bytes > _SAMPLE_BYTES:
                break
    return n_tokens / n_bytes if n_bytes else 1 / _BYTES_PER_TOKEN
