"""Keys of some nodes alone, and the centroids that choose them."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from mctool.core.errors import TreeDamagedError
from mctool.core.records import DocumentCounts
from mctool.tree import Tree, compact_tree, open_writer, rekey_tree, verify_tree
from mctool.tree import tree_keys as tree_keys_module

QUERY = np.array([3, -1, 4, 1, -5, 9, 2, -6], np.float32)
LETTERS = "abcdefgh"


class HashedBlocks:
    """Keys that are random, but for the text of the block the same."""

    width = 8
    fingerprint = "hashed-blocks"

    def __init__(self):
        self.n_built = 0

    def document_keys(self, documents):
        texts = [text for document in documents for text in document]
        self.n_built += len(texts)
        keys = [np.random.default_rng(zlib.crc32(text.encode())).integers(-127, 128, 8, np.int8) for text in texts]
        return np.array(keys, np.int8).reshape(-1, 8), np.full(len(keys), 1 / 127, np.float16)


def text_of(name, n_blocks):
    return "".join(f"{name} {number:>29}\n" for number in range(n_blocks))


@pytest.fixture
def encoder():
    return HashedBlocks()


@pytest.fixture
def large(ingester, builder, encoder):
    """Two segments, of five and three nodes, with a retired document in the middle of each."""
    for texts, retire in (({"a": 70, "b": 40, "c": 33}, ()), ({"d": 40, "e": 10, "f": 34}, ("b",)), ({}, ("e",))):
        with open_writer(ingester.path, builder, None, encoder) as writer:
            for document in writer.documents:
                if document.path in retire:
                    writer.retire(document)
            for path, n in texts.items():
                ingester.add(writer, path, text_of(path, n))
            writer.commit(["source"], "0", DocumentCounts(added=len(texts), retired=len(retire)))
    return ingester.path


@pytest.fixture
def open_keys(large, encoder):
    opened = []

    def run():
        opened.append(Tree.open(large))
        return opened[-1], opened[-1].keys(encoder.fingerprint)

    yield run
    for tree in opened:
        tree.close()


def forget_centroids(path):
    """Make the keys of a segment those of a version that knew no centroids."""
    for name in ("centroids", "centroid_scale"):
        shutil.rmtree(path / name)
    manifest = path / "manifest.json"
    fields = json.loads(manifest.read_text())
    fields["files"] = {file: known for file, known in fields["files"].items() if not file.startswith("centroid")}
    manifest.write_text(json.dumps(fields))


def test_all_nodes_together_give_what_all_keys_give(open_keys):
    tree, keys = open_keys()
    found = keys.node_scores(QUERY)
    assert found.nodes.tolist() == tree.timeline.nodes_at(2).tolist()
    everything = np.ones(len(found.nodes), np.bool_)
    near = keys.scores_within(QUERY, everything, found.expected)
    np.testing.assert_allclose(near, keys.scores(QUERY), rtol=1e-5)
    np.testing.assert_allclose(keys.scores_within(QUERY, everything, found.expected), near, rtol=1e-5)  # from memory


def test_blocks_of_other_nodes_have_what_is_given_for_their_part(open_keys):
    tree, keys = open_keys()
    found = keys.node_scores(QUERY)
    for place, node in enumerate(found.nodes.tolist()):
        opened = found.nodes == node
        similarity = keys.scores_within(QUERY, opened, found.expected)
        blocks = tree.timeline.blocks_at(np.arange(tree.timeline.total_blocks))
        inside = blocks // 32 == node
        assert inside.any()
        np.testing.assert_allclose(similarity[inside], keys.scores(QUERY)[inside], rtol=1e-5)
        owner = np.searchsorted(found.nodes, blocks // 32)
        np.testing.assert_array_equal(similarity[~inside], found.expected[owner, blocks % 32 // 4][~inside])
        assert opened[place]


def test_centroids_expect_about_the_mean_and_no_chunk_of_a_closed_node_is_read(open_keys, large):
    tree, keys = open_keys()
    flat = keys.scores(QUERY)
    found = keys.node_scores(QUERY)
    blocks = tree.timeline.blocks_at(np.arange(len(flat)))
    means = [flat[blocks // 32 == node].mean() for node in found.nodes]
    assert np.corrcoef(means, found.expected.mean(axis=1))[0, 1] > 0.5
    for file in (large / "keys").glob("*/keys/c/0/0"):
        raw = bytearray(file.read_bytes())
        raw[0] ^= 1  # the first node of the segment
        file.write_bytes(raw)
    tree, keys = open_keys()
    opened = ~np.isin(found.nodes % 1024, [0])
    np.testing.assert_allclose(keys.scores_within(QUERY, opened, found.expected)[40:70], flat[40:70], rtol=1e-5)
    with pytest.raises(TreeDamagedError):
        keys.scores_within(QUERY, ~opened, found.expected)


@pytest.mark.parametrize("lacking", [[0], [1], [0, 1]])
def test_segments_without_centroids_are_read_whole(large, open_keys, encoder, lacking):
    for number in lacking:
        (path,) = (large / "keys").glob(f"{number:06d}-*")
        forget_centroids(path)
    assert verify_tree(large) == []
    tree, keys = open_keys()
    found = keys.node_scores(QUERY)
    assert set((found.nodes // 1024).tolist()) == {0, 1} - set(lacking)
    closed = np.zeros(len(found.nodes), np.bool_)
    similarity = keys.scores_within(QUERY, closed, np.full_like(found.expected, 77))
    whole = np.isin(tree.timeline.blocks_at(np.arange(len(similarity))) // 32768, lacking)
    np.testing.assert_array_equal(similarity[whole], keys.scores(QUERY)[whole])
    assert (similarity[~whole] == 77).all()
    assert rekey_tree(large, encoder) == 0  # somebody reads the tree, which stays as it is
    assert len(open_keys()[1].node_scores(QUERY).nodes) == len(found.nodes)


def test_rekeying_derives_centroids_from_keys(large, encoder):
    before = {path.relative_to(large): path.read_bytes() for path in sorted(large.glob("keys/**/*")) if path.is_file()}
    for path in (large / "keys").iterdir():
        forget_centroids(path)
    built = encoder.n_built
    assert rekey_tree(large, encoder) == 0
    assert encoder.n_built == built
    after = {path.relative_to(large): path.read_bytes() for path in sorted(large.glob("keys/**/*")) if path.is_file()}
    assert before == after
    assert verify_tree(large) == []


def test_merged_segments_have_centroids(large, open_keys, builder):
    tree, keys = open_keys()
    before = keys.scores(QUERY)
    tree.close()
    compact_tree(large, builder, everything=True)
    tree, keys = open_keys()
    found = keys.node_scores(QUERY)
    assert found.nodes.tolist() == tree.timeline.nodes_at(2).tolist()
    np.testing.assert_array_equal(keys.scores(QUERY), before)
    assert verify_tree(large) == []


@pytest.mark.parametrize("name", ["centroids", "centroid_scale"])
def test_damaged_centroids_are_damage(large, open_keys, encoder, name):
    for file in Path(large / "keys").glob(f"*/{name}/c/**/0"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[::-1])
    assert {damage.where.split("/")[2] for damage in verify_tree(large)} == {name}
    tree, keys = open_keys()
    assert len(keys.scores(QUERY)) == tree.timeline.total_blocks
    with pytest.raises(TreeDamagedError):
        keys.node_scores(QUERY)
    tree.close()
    assert rekey_tree(large, encoder) > 0
    assert verify_tree(large) == []


def test_no_more_is_kept_in_memory_than_there_is_room(open_keys, monkeypatch):
    monkeypatch.setattr(tree_keys_module, "CACHED_BYTES", 0)
    _, keys = open_keys()
    found = keys.node_scores(QUERY)
    keys.scores(QUERY)
    assert (keys._cache, keys._kept_centroids) == ({}, {})
    np.testing.assert_array_equal(keys.node_scores(QUERY).best, found.best)
