"""The use case ``ingest --dry-run``: what an ingest would do and take, without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.app.ingest import IngestConfig, combined
from mctool.app.ingest_cost import SAMPLE_CHARS, SAMPLE_PARTS, cost_by_experience, cost_by_history, cost_by_sample
from mctool.app.sampling import estimate_tokens, parts_by_length, take_sample
from mctool.app.scan import RecordedPaths, compare, scan_sources
from mctool.app.trees import place_for_tree
from mctool.core.errors import MissingBackendError
from mctool.core.records import Record, Skipped
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.tree import Document, Layout, Tree


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
        basis: What the last two rest on: ``history`` of the tree, a ``sample`` that was ingested into a temporary
            tree, or ``experience`` on other machines, where the model is not on this one.
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
    basis: str


def estimate_ingest(config: IngestConfig) -> IngestEstimate:
    """Tell what an ingest would do. Keeps and downloads nothing, and does not read standard input.

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
    documents: list[Document] = []
    by_history = None
    if exists:
        with Tree.open(layout.root) as tree:
            documents = tree.documents
            by_history = cost_by_history(tree)
    comparison = compare(scan, documents, paths)
    sample = take_sample(comparison.to_read, config.options)
    tokenizer = _tokenizer(config)
    tokens = estimate_tokens(comparison.to_read, sample, tokenizer)
    parts = parts_by_length(sample, SAMPLE_PARTS, SAMPLE_CHARS) if tokenizer else []
    cost = by_history or (cost_by_sample(config, parts, is_new=not exists) if parts else cost_by_experience())
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
        bytes=sum(found.file.size for found in comparison.to_read),
        tokens=tokens,
        seconds=cost.seconds(tokens),
        bytes_on_disk=cost.bytes(tokens),
        basis=cost.basis,
    )


def _tokenizer(config: IngestConfig) -> TextTokenizer | None:
    """The tokenizer of the model; None when the model is not on this machine."""
    try:
        return TextTokenizer.load(resolve_model(config.model, allow_download=False))
    except MissingBackendError:
        return None
