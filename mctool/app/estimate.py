"""The use case ``ingest --dry-run``: what an ingest would do and take, without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.app.ingest import IngestConfig, combined
from mctool.app.ingest_cost import IngestCost, cost_by_experience, cost_by_history, cost_by_sample
from mctool.app.read_ahead import read_contents
from mctool.app.scan import RecordedPaths, SourceFile, compare, scan_sources
from mctool.app.trees import place_for_tree
from mctool.core.errors import MissingBackendError
from mctool.core.records import Record, Skipped
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources import Extractor, TextDocument
from mctool.tree import Document, Layout, Tree

_SAMPLE_FILES = 24
_SAMPLE_BYTES = 500_000
_BYTES_PER_TOKEN = 3.6
"""Of prose and code, when there is nothing to measure it with."""


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
    n_bytes = sum(found.file.size for found in comparison.to_read)
    texts = _sample(config, comparison.to_read)
    tokens = round(n_bytes * _tokens_per_byte(config, texts))
    cost = _cost(config, texts, by_history, is_new=not exists)
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
        seconds=cost.seconds(tokens),
        bytes_on_disk=cost.bytes(tokens),
        basis=cost.basis,
    )


def _cost(config: IngestConfig, texts: list[_Sampled], by_history: IngestCost | None, is_new: bool) -> IngestCost:
    """By what is at hand: earlier ingests, else a sample where the model is on this machine, else experience."""
    if by_history is not None:
        return by_history
    parts = [(sampled.suffix, sampled.text) for sampled in texts if sampled.text.strip()]
    if not parts or _tokenizer(config) is None:
        return cost_by_experience()
    return cost_by_sample(config, parts, is_new)


def _tokenizer(config: IngestConfig) -> TextTokenizer | None:
    """The tokenizer of the model; None when the model is not on this machine."""
    try:
        return TextTokenizer.load(resolve_model(config.model, allow_download=False))
    except MissingBackendError:
        return None


@dataclass(frozen=True)
class _Sampled:
    """A file of the sample: bytes, suffix, and its text, empty when it is none."""

    n_bytes: int
    suffix: str
    text: str


def _sample(config: IngestConfig, files: list[SourceFile]) -> list[_Sampled]:
    """Files that are spread over all of them."""
    taken: list[_Sampled] = []
    with Extractor() as extractor:
        for found in files[:: max(1, len(files) // _SAMPLE_FILES)]:
            contents = read_contents(found, config.options, extractor)
            text = "".join(content.text for _, content in contents if isinstance(content, TextDocument))
            taken.append(_Sampled(found.file.size, found.file.path.suffix, text))
            if sum(sampled.n_bytes for sampled in taken) > _SAMPLE_BYTES:
                break
    return taken


def _tokens_per_byte(config: IngestConfig, texts: list[_Sampled]) -> float:
    """Tokens per byte of a sample; a guess when the model is not on this machine.

    Files of the sample that turn out to be no text count as bytes without tokens.
    """
    tokenizer = _tokenizer(config)
    n_bytes = sum(sampled.n_bytes for sampled in texts)
    if tokenizer is None or not n_bytes:
        return 1 / _BYTES_PER_TOKEN
    n_tokens = 0.0
    for sampled in texts:
        part = sampled.text[:_SAMPLE_BYTES]
        if part:
            n_tokens += len(tokenizer.encode_with_offsets(part)[0]) * len(sampled.text) / len(part)
    return n_tokens / n_bytes
