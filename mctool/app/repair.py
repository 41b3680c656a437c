"""Repairing a tree: its damaged parts are made anew from what is left of it and from the sources."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from mctool.app.key_nets import KeyNets
from mctool.app.read_ahead import read_contents
from mctool.app.scan import RecordedPaths, SourceFile, is_stream
from mctool.app.text_nets import TextNets
from mctool.nets.model_store import resolve_model
from mctool.sources import Extractor, FoundFile, SourceOptions, TextDocument, file_of
from mctool.sources.options import BYTES_PER_MB
from mctool.tree import (
    Document,
    Layout,
    remake_lexical,
    remove_damaged_counts,
    repair_keys,
    repair_segments,
)
from mctool.tree.catalog import read_snapshot
from mctool.tree.content import IdArray, IntArray
from mctool.tree.gists import BoolArray, GistArray

Report = Callable[[str], None]


def repair(place: Path, model: str, device: str, report: Report) -> None:
    """Make anew what is damaged and can be had; each step is done whole or not at all, and can be done again.

    Args:
        place: The tree.
        model: The base model that it was made with; looked for only where gists or tokens are to be made.
        device: Where gists and keys are made.
        report: Takes a line for the user when something slow begins.

    Raises:
        TreeDamagedError: The catalog cannot be understood.
        MismatchError: Another model, tokenizer or GistNet is in use than the tree was made with.
        MissingBackendError: The model is needed, and is not here and cannot be had.
        TreeBusyError: Another process is writing to the tree.
        ResourceError: Out of memory or disk; what was repaired stays.
    """
    layout = Layout(place)
    nets = _RepairNets(layout, model, device, report)
    repair_segments(place, nets if read_snapshot(layout).fingerprint.has_gists else None, nets)
    repair_keys(place, KeyNets.find(device))
    remake_lexical(place)
    remove_damaged_counts(layout)


class _RepairNets:
    """The tokenizer and GistNet of a tree, and its sources: found with the first use."""

    def __init__(self, layout: Layout, model: str, device: str, report: Report) -> None:
        self._layout = layout
        self._model = model
        self._device = device
        self._report = report
        self._paths = RecordedPaths(layout.root)

    @cached_property
    def _nets(self) -> TextNets:
        nets = TextNets(resolve_model(self._model, report=self._report), self._device, self._report)
        nets.expect(read_snapshot(self._layout).fingerprint)
        return nets

    def encode(self, text: str) -> tuple[IdArray, IntArray]:
        """See ``TextMaker``."""
        return self._nets.tokenizer.encode_with_offsets(text)

    def decode(self, ids: IdArray) -> str:
        """See ``TextMaker``."""
        return self._nets.tokenizer.decode(ids)

    def source(self, document: Document) -> str | None:
        """See ``TextMaker``; text from a stream is nowhere to be had again."""
        if is_stream(document):
            return None
        options = SourceOptions(max_file_mb=(document.size + 1) / BYTES_PER_MB)
        recorded = file_of(document.path)
        with Extractor() as extractor:
            for place in self._paths.places(recorded):
                file = FoundFile(Path(place), document.size, document.mtime_ns, named=True)
                for _, found in read_contents(SourceFile(file, recorded, recorded), options, extractor):
                    if isinstance(found, TextDocument) and found.sha256 == document.sha256:
                        return found.text
        return None

    def leaves(self, ids: IdArray, n_tokens: IntArray) -> GistArray:
        """See ``GistBuilder``."""
        self._nets.load()
        return self._nets.leaves(ids, n_tokens)

    def parents(self, gists: GistArray, live: BoolArray, lod: int) -> GistArray:
        """See ``GistBuilder``."""
        self._nets.load()
        return self._nets.parents(gists, live, lod)
