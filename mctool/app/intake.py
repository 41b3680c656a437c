"""Putting documents into a tree: the part of an ingest that holds the write lock."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress

from mctool.app.key_nets import KeyNets
from mctool.app.text_nets import TextNets
from mctool.core.errors import UsageError
from mctool.sources import TextDocument
from mctool.tree import Document, DocumentMeta, Layout, Tree, TreeWriter, open_writer

Progress = Callable[[int, int], None]
"""Told the blocks that are done, and the blocks that are known so far."""


class Intake:
    """Takes documents into a tree and takes old ones out; nothing is visible before ``commit`` of its writer.

    Use it in a ``with`` block: without a commit, the tree is as it was, and a tree that was made for the intake is
    removed again, unless full segments are worth keeping for the next try.

    Attributes:
        writer: The writer of the tree.
        live: Live documents by path, as of now.
        added: Number of documents put in whose path was not live.
        updated: Number of documents put in whose path was live.
        unchanged: Number of documents put in that had the content of the live one.
        gone: Documents taken out for good.
        tokenize_seconds: Time spent in the tokenizer.
    """

    def __init__(self, layout: Layout, nets: TextNets, key_nets: KeyNets | None, progress: Progress) -> None:
        """Take the write lock; a tree that is not there is made.

        Args:
            layout: The tree.
            nets: Tokenizer and GistNet.
            key_nets: The key encoder; None makes no lens keys.
            progress: Called as blocks are done.

        Raises:
            MismatchError: The tree was made with another model, tokenizer or GistNet.
            TreeBusyError: Another process is writing to the tree.
            TreeDamagedError: The tree cannot be understood.
            ResourceError: The place cannot be written.
        """
        self.added = self.updated = self.unchanged = 0
        self.gone: list[Document] = []
        self.tokenize_seconds = 0.0
        self._touched = 0
        self._done_blocks = self._known_blocks = 0
        self._nets = nets
        self._key_nets = key_nets
        self._progress = progress
        self._layout = layout
        self._is_new = not layout.catalog.is_file() and _create(layout, nets)
        with Tree.open(layout.root) as tree:
            nets.expect(tree.fingerprint)
            builder = nets if tree.has_gists else None
        self.writer: TreeWriter = open_writer(layout.root, builder, self._on_blocks, key_nets)
        self.live: dict[str, Document] = {document.path: document for document in self.writer.documents}

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is not None and self._is_new:
            self.writer.give_up()
            _remove_empty_tree(self._layout)  # still under the lock, so that nobody writes to it
        self.writer.close()

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit; a lexical index that had to be made anew is."""
        return bool(self.added or self.updated or self.gone or self._touched) or self.writer.index_was_stale

    def put(self, path: str, document: TextDocument) -> None:
        """Take in a document under a path, unless the tree has just this content there."""
        old = self.live.get(path)
        if old is not None and (old.sha256, old.encoding) == (document.sha256, document.encoding):
            self.unchanged += 1
            if (old.size, old.mtime_ns) != (document.size, document.mtime_ns):
                self.writer.touch(old, document.size, document.mtime_ns)
                self._touched += 1
            return
        self._nets.load()  # first, so that a tree made with another net is refused before the work
        if self._key_nets is not None:
            self._key_nets.load()
        start = time.perf_counter()
        ids, char_starts = self._nets.tokenizer.encode_with_offsets(document.text)
        self.tokenize_seconds += time.perf_counter() - start
        if old is not None:
            self.writer.retire(old)
        meta = DocumentMeta(path, document.sha256, document.size, document.mtime_ns, document.encoding, document.marks)
        new = self.writer.add(meta, ids, char_starts, document.text)
        self.live[path] = new
        self.added += old is None
        self.updated += old is not None
        self._known_blocks += new.n_blocks
        self._progress(self._done_blocks, self._known_blocks)

    def retire(self, document: Document) -> None:
        """Take a live document out of the timeline."""
        self.writer.retire(document)
        del self.live[document.path]
        self.gone.append(document)

    def _on_blocks(self, done: int) -> None:
        self._done_blocks = done
        self._progress(done, max(done, self._known_blocks))


def _create(layout: Layout, nets: TextNets) -> bool:
    """Make an empty tree; False when another process has just done so."""
    fingerprint = nets.fingerprint
    try:
        Tree.create(layout.root, fingerprint).close()
    except UsageError:
        return False
    return True


def _remove_empty_tree(layout: Layout) -> None:
    """Remove a tree that was just made and holds no segment."""
    with suppress(OSError):  # a segment, or what the user put there: then it stays
        layout.segments.rmdir()
        shutil.rmtree(layout.lexical, ignore_errors=True)
        for file in layout.root.glob(f"{layout.catalog.name}*"):
            file.unlink()
        layout.root.rmdir()
