"""Writes the tree that ``tests/data`` keeps for each format, as an archive; run with the mctool that is to be kept.

``python tests/write_old_tree.py tests/data/tree-v1.tar.gz``; documents named after that are archived, which makes
format 2: ``... tests/data/tree-v2.tar.gz pier.py``. The names below say what it holds; tests read them.
"""

import hashlib
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

MODEL = "bytes"
WIDTH = 4
KEY_ENCODER = "e" * 64
TEXTS = {
    "letters.txt": "".join(f"Letter {n}: the keeper saw {n} ships.\n" for n in range(40)) + "Grüße, 東京 🙂\n",
    "pier.py": "def count_boats(pier):\n    return len(pier.boats)\n",
}
RETIRED = {"old.txt": "An older version of it all.\n" * 8}
COMPASS = {"compass.txt": "The captain hid the emerald compass under the third stair.\n"}


class Builder:
    """Gists are means of ids, and of gists; keys say how long a block is."""

    fingerprint = KEY_ENCODER
    width = 2

    def leaves(self, ids, n_tokens):
        return np.repeat((ids.sum(axis=1) / n_tokens)[:, None], WIDTH, axis=1).astype(np.float16)

    def parents(self, gists, live, lod):
        starts = np.arange(0, len(gists), 32)
        total = np.add.reduceat(gists * live[:, None], starts, axis=0, dtype=np.float32)
        return (total / np.maximum(np.add.reduceat(live, starts, dtype=np.int64), 1)[:, None]).astype(np.float16)

    def document_keys(self, documents):
        lengths = [len(text) for document in documents for text in document]
        return np.repeat(np.array(lengths)[:, None], 2, axis=1).astype(np.int8), np.ones(len(lengths), np.float16)


def write_model(directory):
    """A byte tokenizer with the least that makes a model directory; there are no weights in it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")


def write_tree(place, texts_by_ingest, tokenizer):
    """Ingest after ingest; what the last one holds no more is retired."""
    from mctool.core.records import DocumentCounts
    from mctool.tree import DocumentMeta, Fingerprint, Tree, open_writer

    fingerprint = Fingerprint(MODEL, tokenizer.fingerprint, tokenizer.vocab_size, WIDTH, gistnet="means")
    Tree.create(place, fingerprint).close()
    for texts in texts_by_ingest:
        with open_writer(place, Builder(), key_builder=Builder()) as writer:
            live = {document.path: document for document in writer.documents}
            for path in live.keys() - texts.keys():
                writer.retire(live[path])
            for path in [path for path in texts if path not in live]:
                raw = texts[path].encode()
                meta = DocumentMeta(path, hashlib.sha256(raw).hexdigest(), len(raw), 7, "utf-8")
                writer.add(meta, *tokenizer.encode_with_offsets(texts[path]), texts[path])
            writer.commit(["docs"], "0", DocumentCounts())
    with Tree.open(place) as tree:
        assert tree.record_access(expanded=[(1, 0)], cited=[(0, 3), (0, 3)])


def archive_texts(place, paths):
    """Put the text of documents into the archive of the tree."""
    from mctool.tree import Tree, archive_documents

    with Tree.open(place) as tree:
        chosen = [document.id for document in tree.documents if document.path in paths]
    assert len(chosen) == len(paths)
    archive_documents(place, Builder(), archive=chosen)


def main():
    """Write the archive."""
    from mctool.nets.model_store import ModelFiles
    from mctool.nets.tokenizer import TextTokenizer

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write_model(root / MODEL)
        tokenizer = TextTokenizer.load(ModelFiles(MODEL, root / MODEL))
        write_tree(root / ".mctool", [{**RETIRED, **TEXTS}, {**TEXTS, **COMPASS}], tokenizer)
        if archived := sys.argv[2:]:
            archive_texts(root / ".mctool", archived)
        (root / "expected.json").write_text(json.dumps({**TEXTS, **COMPASS}))
        with tarfile.open(sys.argv[1], "w:gz") as archive:
            for path in sorted(root.rglob("*")):
                if path.is_file() and not path.name.endswith(".lock"):
                    archive.add(path, path.relative_to(root))


if __name__ == "__main__":
    main()
