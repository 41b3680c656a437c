"""A tree that an old version of mctool wrote can be opened, read, checked, asked and written to."""

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from write_old_tree import COMPASS, KEY_ENCODER, MODEL, TEXTS, Builder

from mctool.core.records import DocumentCounts
from mctool.tree import FORMAT_VERSION, Tree, archive_documents, open_writer, verify_tree
from mctool.tree.layout import ARCHIVE_FORMAT

ARCHIVES = sorted((Path(__file__).parent.parent / "data").glob("tree-v*.tar.gz"))
EXPECTED = {**TEXTS, **COMPASS}
ARCHIVED = {1: set(), 2: {"pier.py"}}
"""By format."""


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def old(request, project):
    """A project with the tree of an old version, and the model it was made with."""
    with tarfile.open(request.param) as archive:
        archive.extractall(project, filter="data")
    return project


def hidden_in(tree):
    return {tree.documents[place].path for place in tree.archived.tolist()}


def test_every_format_so_far_is_kept():
    assert [path.name for path in ARCHIVES] == [f"tree-v{n}.tar.gz" for n in range(1, ARCHIVE_FORMAT + 1)]


def test_it_says_what_it_said(old, request):
    with Tree.open(old / ".mctool") as tree:
        assert f"tree-v{tree.format}.tar.gz" in request.node.name
        assert hidden_in(tree) == ARCHIVED[tree.format]
        assert len(tree.history()) == 2
        assert tree.generation == (3 if tree.format == ARCHIVE_FORMAT else 2)
        assert json.loads((old / "expected.json").read_text()) == EXPECTED
        for document in [one for one in tree.documents if one.path not in ARCHIVED[tree.format]]:
            blocks = np.arange(document.first_block, document.end_block)
            ids, n_tokens = tree.tokens(blocks)
            text = EXPECTED[document.path]
            assert tree.text(document.first_block, document.end_block) == text
            assert (n_tokens.sum(), document.n_chars) == (len(text.encode()), len(text))
            assert np.array_equal(tree.gists(1, blocks), Builder().leaves(ids, n_tokens))
            assert tree.span(document.first_block, document.end_block).end_line == document.n_lines
        assert sorted(document.path for document in tree.documents) == sorted(EXPECTED)
        live = np.concatenate([np.arange(document.first_block, document.end_block) for document in tree.documents])
        node = live.min() // 32
        assert np.allclose(tree.gists(2, node[None]), tree.gists(1, live[live // 32 == node]).mean(axis=0), rtol=0.01)
        keys = tree.keys(KEY_ENCODER)
        assert keys is not None
        assert keys.scores(np.array([1, 0], np.float32)).max() == 32
        counted = [(0, 3, 2), (1, 0, 0)] if tree.format == FORMAT_VERSION else []  # retired blocks went when some moved
        assert [(one.lod, one.index, one.cited) for one in tree.access_counts()] == counted


def test_it_is_sound(old, run_cli):
    assert verify_tree(old / ".mctool") == []
    assert run_cli("verify").code == 0


def test_focus_finds_what_is_in_it(old, run_cli):
    done = run_cli("ask", "Where is the emerald compass?", "--no-answer", "--json", "--model", old / MODEL, "-q")
    assert done.code == 0, done.err
    (citation,) = [one for one in done.json["citations"] if one["path"] == "compass.txt"]
    assert "third stair" in citation["text"]


def test_archived_text_comes_back(old):
    place = old / ".mctool"
    with Tree.open(place) as tree:
        archived = [tree.documents[n].id for n in tree.archived.tolist()]
    archive_documents(place, Builder(), restore=archived)
    with Tree.open(place) as tree:
        assert {one.path: tree.text(one.first_block, one.end_block) for one in tree.documents} == EXPECTED
        assert tree.format == FORMAT_VERSION


def test_it_can_be_written_to(old):
    place = old / ".mctool"
    with open_writer(place, Builder(), key_builder=Builder()) as writer:
        writer.retire(writer.documents[0])
        writer.commit([], "0", DocumentCounts(retired=1))
    assert verify_tree(place) == []
    with Tree.open(place) as tree:
        assert len(tree.documents) == len(EXPECTED) - 1
        assert tree.format == (ARCHIVE_FORMAT if hidden_in(tree) else FORMAT_VERSION)


@pytest.mark.parametrize("command", [["ask", "what?"], ["ingest", "docs"], ["verify"], ["inspect"], ["doctor"]])
def test_a_newer_format_is_refused(old, run_cli, command):
    (old / "docs").mkdir()
    (old / "docs" / "a.txt").write_text("text")
    with closing(sqlite3.connect(old / ".mctool" / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(ARCHIVE_FORMAT + 1),))
    done = run_cli(*command)
    assert done.code == 5
    assert done.err == (
        f"mctool: {old / '.mctool'} has format {ARCHIVE_FORMAT + 1}, this mctool reads up to format {ARCHIVE_FORMAT}; "
        "upgrade with `pip install -U mctool`\n"
    )
