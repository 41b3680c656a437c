"""The text of documents in an archive beside the tree."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from mctool.core.errors import ResourceError, UsageError
from mctool.tree import Tree, archive_documents, check_lexical, rekey_tree, verify_tree
from mctool.tree.catalog_writer import CatalogWriter

TEXTS = {"a": "the harbour\n" * 9, "b": "Grüße 東京\n" * 5, "c": "boats"}


class NoKeys:
    fingerprint = "encoder-1-of-the-tests"
    width = 4

    def document_keys(self, documents):
        n_blocks = sum(map(len, documents))
        return np.zeros((n_blocks, 4), np.int8), np.zeros(n_blocks, np.float16)


@pytest.fixture
def path(ingester):
    ingester.commit(TEXTS)
    return ingester.path


def ids(path, *names):
    with Tree.open(path) as tree:
        return [document.id for document in tree.documents if document.path in names]


def texts(path):
    with Tree.open(path) as tree:
        hidden = tree.archived.tolist()
        return {
            one.path: None if place in hidden else tree.text(one.first_block, one.end_block)
            for place, one in enumerate(tree.documents)
        }


def tree_format(path):
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        return connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0]


def test_archived_text_is_gone_and_comes_back(path, builder):
    with Tree.open(path) as tree:
        gists = tree.gists(1, tree.timeline.nodes_at(1)).tolist()
    done = archive_documents(path, builder, archive=ids(path, "a", "b"))
    assert builder.n_leaves == 0
    assert (done.merged, done.made) == (1, 1)
    assert texts(path) == {**TEXTS, "a": None, "b": None}
    assert tree_format(path) == "2"
    assert len(list((path / "archive").iterdir())) == 2
    assert verify_tree(path) == []
    archive_documents(path, builder, restore=ids(path, "b"))
    assert texts(path) == {**TEXTS, "a": None}
    assert tree_format(path) == "2"
    archive_documents(path, builder, restore=ids(path, "a"))
    assert texts(path) == TEXTS
    assert tree_format(path) == "1"
    with Tree.open(path) as tree:
        assert tree.gists(1, tree.timeline.nodes_at(1)).tolist() == gists
        assert check_lexical(tree) is None
    assert verify_tree(path) == []


def test_what_is_archived_has_its_place(path, builder):
    with Tree.open(path) as tree:
        (first,) = [document for document in tree.documents if document.path == "b"]
        spans = [tree.span(block, block + 1) for block in range(first.first_block, first.end_block)]
    archive_documents(path, builder, archive=[first.id])
    with Tree.open(path) as tree:
        (b,) = [document for document in tree.documents if document.path == "b"]
        for place, span in enumerate(spans):
            found = tree.span(b.first_block + place, b.first_block + place + 1)
            assert (found.start_char, found.end_char, found.start_line, found.text) == (
                *(span.start_char, span.end_char, span.start_line),
                "",
            )
            assert found.end_line - span.end_line in (0, 1)
        with pytest.raises(UsageError, match="b is archived"):
            tree.text(b.first_block, b.end_block)


def test_a_crash_before_the_commit_changes_nothing(path, builder, monkeypatch):
    def die(self, rewrite):
        raise RuntimeError("the machine stopped")

    monkeypatch.setattr(CatalogWriter, "commit_rewrite", die)
    with pytest.raises(RuntimeError, match="stopped"):
        archive_documents(path, builder, archive=ids(path, "a"))
    assert texts(path) == TEXTS
    assert tree_format(path) == "1"
    monkeypatch.undo()
    archive_documents(path, builder, archive=ids(path, "a"))
    monkeypatch.setattr(CatalogWriter, "commit_rewrite", die)
    with pytest.raises(RuntimeError, match="stopped"):
        archive_documents(path, builder, restore=ids(path, "a"))
    assert texts(path)["a"] is None
    monkeypatch.undo()
    archive_documents(path, builder, restore=ids(path, "a"))
    assert texts(path) == TEXTS
    assert verify_tree(path) == []


def test_what_needs_archived_text_is_refused(path, builder):
    archive_documents(path, builder, archive=ids(path, "a"))
    with pytest.raises(UsageError, match="curate restore"):
        rekey_tree(path, NoKeys())
    next((path / "archive").iterdir()).unlink()
    with pytest.raises(ResourceError, match="put the file back"):
        archive_documents(path, builder, restore=ids(path, "a"))
    assert [damage.where.split("/")[0] for damage in verify_tree(path)] == ["archive"]


def test_nothing_to_do_changes_nothing(path, builder):
    assert archive_documents(path, builder, restore=ids(path, "a")).merged == 0
    with Tree.open(path) as tree:
        assert tree.generation == 1
