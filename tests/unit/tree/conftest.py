"""A byte tokenizer, a builder that averages, and a tree to use them on."""

import hashlib

import numpy as np
import pytest

from mctool.core.records import DocumentCounts
from mctool.tree import DocumentMeta, Fingerprint, Tree, open_writer

WIDTH = 4


class MeanBuilder:
    """Gists are means: of token ids at LOD1, of live children above. Counts the blocks that it was given."""

    def __init__(self):
        self.n_leaves = 0
        self.fail_after = None

    def leaves(self, ids, n_tokens):
        if self.fail_after is not None and self.n_leaves >= self.fail_after:
            raise RuntimeError("the net broke")
        self.n_leaves += len(ids)
        return np.repeat((ids.sum(axis=1) / n_tokens)[:, None], WIDTH, axis=1).astype(np.float16)

    def parents(self, gists, live, lod):
        n = -(-len(gists) // 32)
        padded = np.zeros((n * 32, gists.shape[1]), np.float32)
        padded[: len(gists)] = gists * live[:, None]
        count = np.zeros(n * 32, np.float32)
        count[: len(gists)] = live
        total = np.maximum(count.reshape(n, 32).sum(axis=1), 1)
        return (padded.reshape(n, 32, -1).sum(axis=1) / total[:, None]).astype(np.float16)


class Ingester:
    """Adds texts to a tree, one token per UTF-8 byte, so that blocks end in the middle of characters."""

    def __init__(self, path):
        self.path = path

    def add(self, writer, path, text):
        raw = text.encode()
        starts = np.repeat(np.arange(len(text)), [len(char.encode()) for char in text])
        meta = DocumentMeta(path, hashlib.sha256(raw).hexdigest(), len(raw), 7, "utf-8")
        return writer.add(meta, np.frombuffer(raw, np.uint8).astype(np.uint32), starts, text)

    def commit(self, texts, retire=(), builder=None, progress=None):
        """One whole ingest; returns the closed writer."""
        with open_writer(self.path, builder or MeanBuilder(), progress) as writer:
            for document in writer.documents:
                if document.path in retire:
                    writer.retire(document)
            for path, text in texts.items():
                self.add(writer, path, text)
            writer.commit(["source"], "0", DocumentCounts(added=len(texts), retired=len(retire)))
        return writer


def fingerprint(**changes):
    fields = {"model": "m", "tokenizer": "t", "vocab_size": 256, "d_model": WIDTH, "gistnet": "mean"}
    return Fingerprint(**(fields | changes))


@pytest.fixture(scope="session")
def make_fingerprint():
    return fingerprint


@pytest.fixture(scope="session")
def make_ingester():
    """Makes an ingester for a new, empty tree at a path."""

    def make(path):
        Tree.create(path, fingerprint()).close()
        return Ingester(path)

    return make


@pytest.fixture
def builder():
    return MeanBuilder()


@pytest.fixture
def ingester(tmp_path, make_ingester):
    """An ingester for a new, empty tree at ``tmp_path/.mctool``."""
    return make_ingester(tmp_path / ".mctool")
