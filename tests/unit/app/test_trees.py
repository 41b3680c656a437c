"""Which tree is meant."""

import pytest

from mctool.app.trees import locate_tree, place_for_tree
from mctool.core.errors import TreeNotFoundError, UsageError
from mctool.tree import Fingerprint, Tree


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An empty tree ``.mctool`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    Tree.create(tmp_path / ".mctool", Fingerprint("m", "t", 9, 4)).close()
    return tmp_path / ".mctool"


def test_the_nearest_upward(tree, tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert locate_tree(None) == place_for_tree(None) == tree


def test_named_itself_or_by_its_directory(tree, tmp_path):
    for name in (tree, tmp_path):
        assert locate_tree(name) == place_for_tree(name) == tree


def test_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (None, tmp_path / "x", tmp_path):
        with pytest.raises(TreeNotFoundError):
            locate_tree(name)
    assert place_for_tree(None) == tmp_path / ".mctool"


def test_a_new_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("new", "new/deep", "empty"):
        assert place_for_tree(tmp_path / name) == tmp_path / name


def test_no_place_for_a_tree(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for name in ("full", "full/file"):
        with pytest.raises(UsageError):
            place_for_tree(tmp_path / name)
