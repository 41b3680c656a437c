"""Archived documents: raw text and token ids (LOD0) in a compressed file beside the tree, gists and keys in the tree.

An archived document keeps its blocks, its gists and its lens keys, but its blocks hold no ids and no text, so that
nobody can expand them. Restoring puts ids and text back to the bit. Archive files may be kept elsewhere meanwhile.

Shape letter: B blocks of a document.
"""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numcodecs import Zstd

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import ResourceError, TreeDamagedError
from mctool.tree.content import Blocks
from mctool.tree.failures import read_failures, write_failures
from mctool.tree.layout import Layout
from mctool.tree.rows import ArchivedText, Document

_LEVEL = 12


def write_archive(layout: Layout, document: Document, blocks: Blocks) -> ArchivedText:
    """Put the ids and the text of a document into a file of its own, synced.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    raw = io.BytesIO()
    sizes = np.array([len(text) for text in blocks.texts], np.int64)
    text = np.frombuffer(b"".join(blocks.texts), np.uint8)
    np.savez(raw, ids=blocks.ids, sizes=sizes, text=text)
    packed: bytes = Zstd(_LEVEL, checksum=True).encode(raw.getvalue())
    name = f"{document.sha256[:12]}-{document.id}.zst"
    final = layout.archived(name)
    draft = final.with_suffix(".writing")
    with write_failures(layout.root):
        layout.archive.mkdir(exist_ok=True)
        try:
            with draft.open("wb") as file:
                file.write(packed)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(final)
        finally:
            draft.unlink(missing_ok=True)
    return ArchivedText(document.id, name, len(packed), hashlib.sha256(packed).hexdigest())


def read_archive(layout: Layout, entry: ArchivedText, stored: Blocks) -> Blocks:
    """The blocks of an archived document with their ids and texts.

    Args:
        layout: The tree.
        entry: Where they are.
        stored: The blocks as the tree holds them, B of them.

    Raises:
        ResourceError: The file is not there.
        TreeDamagedError: The file is not what was written.
    """
    path = layout.archived(entry.file)
    if not path.is_file():
        raise ResourceError(f"{path} is not there", "put the file back, and run again")
    with read_failures(path):
        packed = path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != entry.sha256:
            raise TreeDamagedError(f"{path} is not what was archived", "restore it from a backup, or ingest the source")
        with np.load(io.BytesIO(Zstd().decode(packed))) as arrays:
            ids, sizes, text = arrays["ids"], arrays["sizes"], arrays["text"].tobytes()
    if ids.shape != (len(stored), BLOCK_TOKENS) or len(sizes) != len(stored):
        raise TreeDamagedError(f"{path} holds {len(ids)} blocks, not {len(stored)}", "ingest the source again")
    bounds = [0, *accumulate(sizes.tolist())]
    return replace(stored, ids=ids, texts=[text[start:end] for start, end in pairwise(bounds)])


def without_text(blocks: Blocks) -> Blocks:
    """The blocks as the tree holds them while their document is archived."""
    return replace(blocks, ids=np.zeros_like(blocks.ids), texts=[b""] * len(blocks))


def archive_fault(layout: Layout, entry: ArchivedText) -> str | None:
    """What is wrong with the file of an archived document, in words; None when it is as it was written."""
    path: Path = layout.archived(entry.file)
    if not path.is_file():
        return "is not there; put it back before a restore"
    with read_failures(path):
        fits = hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    return None if fits else "has another sha256 than it should"


def remove_archive_leftovers(layout: Layout, entries: list[ArchivedText]) -> None:
    """Remove the files of documents that are not archived any more; what cannot be removed now stays."""
    if not layout.archive.is_dir():
        return
    known = {entry.file for entry in entries}
    for path in layout.archive.iterdir():
        if path.name not in known:
            with suppress(OSError):
                path.unlink()
