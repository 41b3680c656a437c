"""Trees of located questions: a pack of documents as a tree that lenses can be asked about."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mctool.core.records import DocumentCounts
from mctool.core.timeline import IntArray
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question
from mctool.tree import TREE_NAME, DocumentMeta, Fingerprint, GistBuilder, KeyBuilder, Tree, open_writer
from mctool.version import __version__


@contextmanager
def packed_tree(
    one: Pack,
    model: str,
    tokenizer: TextTokenizer,
    key_builder: KeyBuilder | None = None,
    gists: tuple[Fingerprint, GistBuilder] | None = None,
) -> Iterator[Tree]:
    """A tree in a temporary directory; document i of the pack is document i of the tree.

    Args:
        one: The documents.
        model: Name of the base model.
        tokenizer: Its tokenizer.
        key_builder: Makes lens keys; None for a tree without.
        gists: What a tree with gists carries, and what makes them; None for a tree without.
    """
    without = Fingerprint(model, tokenizer.fingerprint, tokenizer.vocab_size, d_model=1)  # no gists: no width
    fingerprint, builder = gists or (without, None)
    # A thread of the lexical index may put a lock file there while it goes.
    with tempfile.TemporaryDirectory(prefix="mctool-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / TREE_NAME
        Tree.create(place, fingerprint).close()
        with open_writer(place, builder, key_builder=key_builder) as writer:
            for number, document in enumerate(one.documents):
                raw = document.text.encode()
                path = f"{number}/{document.path}"  # two records may have files of one name
                meta = DocumentMeta(path, hashlib.sha256(raw).hexdigest(), len(raw), 0, "utf-8")
                writer.add(meta, document.ids, document.char_starts, document.text)
            writer.commit(["evaluation"], __version__, DocumentCounts(added=len(one.documents)))
        with Tree.open(place) as tree:
            yield tree


def answer_blocks(tree: Tree, question: Question) -> IntArray:
    """Ranks of the blocks that hold any of the answer, at least one."""
    document = tree.documents[question.document]
    blocks = np.arange(document.first_block, document.end_block)
    starts, ends = tree.char_ranges(blocks, blocks + 1)
    return tree.timeline.rank(blocks[(starts < question.end) & (ends > question.start)])
