"""Lens keys on disk, made by an encoder that hashes words."""

import json
import shutil
import subprocess
import sys
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, TreeBusyError, TreeDamagedError, TreeNotFoundError
from mctool.core.records import DocumentCounts
from mctool.tree import Tree, open_writer, rekey_tree, tree_keys, verify_tree
from mctool.tree import keys as key_files

FULL = "x" * (SEGMENT_BLOCKS * 32) + "the rest\n"
"""One block more than a segment holds."""

TEXTS = {"a": "the harbour " * 20, "b": "a lighthouse", "c": "keeper of letters " * 9}


class HashedWords:
    """Keys that count the words of a block and its neighbours by their hash; notes what it was given."""

    width = 8

    def __init__(self, fingerprint="encoder-1-of-the-tests"):
        self.fingerprint = fingerprint
        self.documents = []

    def document_keys(self, documents):
        self.documents += [list(texts) for texts in documents]
        keys = [self.key("".join(texts[max(i - 1, 0) : i + 2])) for texts in documents for i in range(len(texts))]
        return np.array(keys, np.int8).reshape(-1, self.width), np.full(len(keys), 0.5, np.float16)

    def key(self, text):
        places = [zlib.crc32(word.encode()) % self.width for word in text.split()]
        return np.minimum(np.bincount(places, minlength=self.width), 127)


@pytest.fixture
def encoder():
    return HashedWords()


@pytest.fixture
def commit(ingester, builder):
    """One whole ingest, with lens keys when there is an encoder; gives the closed writer."""

    def run(texts, encoder=None, retire=(), progress=None):
        with open_writer(ingester.path, builder, progress, encoder) as writer:
            for document in writer.documents:
                if document.path in retire:
                    writer.retire(document)
            for path, text in texts.items():
                ingester.add(writer, path, text)
            writer.commit(["source"], "0", DocumentCounts(added=len(texts), retired=len(retire)))
        return writer

    return run


def key_names(ingester):
    return sorted(path.name for path in (ingester.path / "keys").iterdir())


def expected_scores(tree, encoder, query):
    """What the keys should give, from the text of one document at a time."""
    found = []
    for document in tree.documents:
        blocks = range(document.first_block, document.end_block)
        keys, scale = encoder.document_keys([[tree.text(block, block + 1) for block in blocks]])
        found.append(keys.astype(np.float32) @ query * scale)
    return np.concatenate(found)


def test_scores_are_those_of_the_live_blocks_by_rank(ingester, encoder, commit):
    first = commit(TEXTS, encoder)
    assert (first.keyed_blocks, len(encoder.documents)) == (8 + 1 + 6, 3)
    assert first.key_seconds > 0
    commit({"d": "north " * 30}, encoder, retire=["b"])
    query = np.arange(8, dtype=np.float32)
    with Tree.open(ingester.path) as tree:
        keys = tree.keys(encoder.fingerprint)
        expected = expected_scores(tree, encoder, query)
        for _ in range(2):  # the second time from memory
            found = keys.scores(query)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert tree.bytes_by_array()["keys"] > 0
        assert tree.keys("another encoder") is None
    assert verify_tree(ingester.path) == []


def test_keys_of_full_segments_and_more_memory_than_may_be_kept(ingester, encoder, commit, monkeypatch):
    monkeypatch.setattr(tree_keys, "CACHED_BYTES", 100)
    monkeypatch.setattr(tree_keys, "SCORED_BLOCKS", 1000)
    seen = []
    commit({"long": FULL, "b": "b b"}, encoder, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == SEGMENT_BLOCKS + 2
    assert {len(texts) for texts in encoder.documents} == {key_files.BATCH_BLOCKS, 1}
    query = np.ones(8, np.float32)
    with Tree.open(ingester.path) as tree:
        keys = tree.keys(encoder.fingerprint)
        np.testing.assert_allclose(keys.scores(query)[-2:], [1.0, 1.0])
        assert [len(kept) for kept, _ in keys._cache.values()] == [2]


def test_batches_hold_whole_documents(encoder):
    char_start = np.concatenate([np.arange(n) for n in (3, 1020, 1, 2500, 2)])
    texts = [str(place) for place in range(len(char_start))]
    counted = []
    keys, scale = key_files.build_keys(encoder, texts, char_start, counted.append)
    assert [len(document) for document in encoder.documents] == [3, 1020, 1, 1024, 1024, 452, 2]
    assert [text for document in encoder.documents for text in document] == texts
    assert sum(counted) == len(keys) == len(scale) == 3526
    assert max(counted) < 2 * key_files.BATCH_BLOCKS


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scales_that_cannot_be_stored_are_refused(ingester, encoder, commit, bad):
    encoder.document_keys = lambda documents: (np.zeros((1, 8), np.int8), np.full(1, bad, np.float16))
    with pytest.raises(MismatchError, match="not finite"):
        commit({"a": "a"}, encoder)
    with Tree.open(ingester.path) as tree:
        assert tree.documents == []
    assert not (ingester.path / "keys").exists()


def test_an_encoder_that_gives_keys_of_other_blocks_is_a_bug(encoder, commit):
    encoder.document_keys = lambda documents: (np.zeros((2, 8), np.int8), np.ones(2, np.float16))
    with pytest.raises(ValueError, match="1 blocks"):
        commit({"a": "a"}, encoder)


def test_a_tree_has_keys_when_all_its_live_segments_have(ingester, encoder, commit):
    commit({"old": "old"})
    commit({"a": "a"}, encoder)
    with Tree.open(ingester.path) as tree:
        assert tree.keys(encoder.fingerprint) is None
    commit({}, retire=["old"])  # its segment holds nothing that is live
    with Tree.open(ingester.path) as tree:
        assert tree.keys(encoder.fingerprint).scores(np.ones(8, np.float32)).shape == (1,)
    assert rekey_tree(ingester.path, encoder) == 0
    commit({}, retire=["a"])
    with Tree.open(ingester.path) as tree:
        assert tree.keys(encoder.fingerprint).scores(np.ones(8, np.float32)).shape == (0,)


def test_rekeying_makes_what_is_missing_and_replaces_what_another_encoder_made(ingester, encoder, commit):
    commit(TEXTS)
    commit({"d": "north " * 30}, encoder)
    progress = []
    assert rekey_tree(ingester.path, encoder, lambda *counts: progress.append(counts)) == 15
    assert progress == [(15, 15)]
    (first, second) = key_names(ingester)
    with Tree.open(ingester.path) as tree:
        before = tree.keys(encoder.fingerprint).scores(np.ones(8, np.float32))
        assert len(before) == 15 + 6

    newer = HashedWords("encoder-2")
    commit({"e": "e"}, newer)
    assert {first, second} < set(key_names(ingester))  # still good for those who have the older one
    assert rekey_tree(ingester.path, newer) == 21
    assert [name.endswith("-encoder-2") for name in key_names(ingester)] == [True] * 3
    assert rekey_tree(ingester.path, newer) == 0
    with Tree.open(ingester.path) as tree:
        np.testing.assert_array_equal(tree.keys("encoder-2").scores(np.ones(8, np.float32))[:-1], before)


def test_rekeying_equals_keys_made_while_ingesting(ingester, encoder, commit):
    commit(TEXTS, encoder)
    (made,) = (ingester.path / "keys").iterdir()
    before = {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    shutil.rmtree(made)
    assert rekey_tree(ingester.path, encoder) == 15
    assert before == {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()}


def test_rekeying_takes_the_write_lock(ingester, encoder, builder, tmp_path):
    with open_writer(ingester.path, builder), pytest.raises(TreeBusyError):
        rekey_tree(ingester.path, encoder)
    with pytest.raises(TreeNotFoundError):
        rekey_tree(tmp_path / "none", encoder)


def test_keys_of_an_interrupted_ingest_are_adopted(ingester, builder, encoder, commit):
    builder.fail_after = SEGMENT_BLOCKS
    with pytest.raises(RuntimeError, match="the net broke"):
        commit({"long": FULL}, encoder)
    builder.fail_after, encoder.documents = None, []
    assert commit({"long": FULL}, encoder).keyed_blocks == 1
    assert [len(texts) for texts in encoder.documents] == [1]
    assert verify_tree(ingester.path) == []


def test_keys_that_nothing_needs_are_removed_unless_somebody_reads(ingester, builder, encoder, commit):
    commit({"a": "a"}, encoder)
    builder.fail_after = builder.n_leaves + SEGMENT_BLOCKS
    with pytest.raises(RuntimeError):
        commit({"long": FULL}, encoder)
    builder.fail_after = None
    (ingester.path / "keys" / ".writing-dead").mkdir()
    with Tree.open(ingester.path) as tree:
        commit({"b": "b"}, encoder)
        assert tree.keys(encoder.fingerprint).scores(np.ones(8, np.float32)).shape == (1,)
        assert len(key_names(ingester)) == 4
    commit({"c": "c"})
    assert len(key_names(ingester)) == 2


ARRAY_FILES = ("keys/c/0/0", "scale/c/0", "centroids/c/0/0/0", "centroid_scale/c/0/0")


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        *((file, "flip") for file in (*ARRAY_FILES, "keys/zarr.json", "zarr.json", "manifest.json")),
        *((file, "delete") for file in ("keys/c/0/0", "manifest.json")),
        *((file, "cut") for file in ARRAY_FILES),
    ],
)
def test_damaged_keys_are_found_and_made_anew(ingester, encoder, commit, file, harm):
    commit({"a": "a"}, encoder)
    commit(TEXTS | {"a": "a" * 99}, encoder, retire=["a"])
    victim = sorted((ingester.path / "keys").iterdir())[1] / file
    raw = bytearray(victim.read_bytes())
    raw[3 if file == "manifest.json" else len(raw) // 3] ^= 64
    victim.write_bytes(raw[: -2 if harm == "cut" else None])
    if harm == "delete":
        victim.unlink()
    (damage,) = verify_tree(ingester.path)
    assert damage.where.startswith("keys/")
    assert damage.where.endswith(file)
    assert damage.range == (SEGMENT_BLOCKS, SEGMENT_BLOCKS + 11)
    assert "ingest --rekey" in damage.what
    with Tree.open(ingester.path) as tree:
        keys = tree.keys(encoder.fingerprint)
        if keys is not None:  # sizes are right
            assert harm == "flip"
            assert file != "manifest.json"
            coarse = file.startswith("centroid")
            with pytest.raises(TreeDamagedError) if file != "zarr.json" and not coarse else nullcontext():
                keys.scores(np.ones(8, np.float32))
            with pytest.raises(TreeDamagedError) if coarse else nullcontext():
                keys.node_scores(np.ones(8, np.float32))
    assert rekey_tree(ingester.path, encoder) == 11
    assert verify_tree(ingester.path) == []
    with Tree.open(ingester.path) as tree:
        assert tree.keys(encoder.fingerprint).scores(np.ones(8, np.float32)).shape == (11,)


def test_a_foreign_manifest_is_not_believed(ingester, encoder, commit):
    commit({"a": "a" * 99}, encoder)
    (directory,) = (ingester.path / "keys").iterdir()
    manifest = directory / "manifest.json"
    fields = json.loads(manifest.read_text())
    for change in ({"encoder": encoder.fingerprint + " more"}, {"n_blocks": 3}, {"files": {}}):
        manifest.write_text(json.dumps(fields | change))
        with Tree.open(ingester.path) as tree:
            assert tree.keys(encoder.fingerprint) is None
        assert rekey_tree(ingester.path, encoder) == 4


FULL_DISK = """
import resource, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_keys import HashedWords
from mctool.core.errors import ResourceError
from mctool.tree import rekey_tree
resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))
encoder = HashedWords()
encoder.width = 4096
try:
    rekey_tree(Path({path!r}), encoder)
except ResourceError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_leaves_no_half_keys(ingester, commit):
    commit({"a": "a" * 999})
    script = FULL_DISK.format(here=str(Path(__file__).parent), path=str(ingester.path))
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "cannot write to the tree" in child.stdout, child.stderr
    assert key_names(ingester) == []
    assert verify_tree(ingester.path) == []
