"""Which lens is chosen, with an encoder that hashes words."""

import zlib

import numpy as np
import pytest

from mctool.app.lenses import Lenses
from mctool.core.errors import TreeDamagedError
from mctool.core.evidence import TermHits
from mctool.core.records import DocumentCounts
from mctool.tree import DocumentMeta, Fingerprint, Tree, open_writer


class HashedWords:
    width = 16
    fingerprint = "hashed"
    scorer = None

    def document_keys(self, documents):
        keys = [np.rint(127 * self.query(text)) for texts in documents for text in texts]
        return np.array(keys, np.int8).reshape(-1, self.width), np.full(len(keys), 1 / 127, np.float16)

    def query(self, question):
        places = [zlib.crc32(word.encode()) % self.width for word in question.split()]
        counts = np.bincount(places, minlength=self.width).astype(np.float32)
        return counts / max(np.linalg.norm(counts), 1)


TEXTS = {"a": "old pier " * 30, "b": "new boat " * 9}
HITS = [TermHits("pier", np.array([2]), np.zeros(0, np.int64), np.zeros(0, np.int64))]


@pytest.fixture
def make_tree(tmp_path):
    opened = []

    def make(key_builder, texts=TEXTS):
        place = tmp_path / ".mctool"
        Tree.create(place, Fingerprint("m", "t", 256, 1)).close()
        with open_writer(place, key_builder=key_builder) as writer:
            for path, text in texts.items():
                ids = np.frombuffer(text.encode(), np.uint8).astype(np.uint32)
                writer.add(DocumentMeta(path, path, 1, 1, "utf-8"), ids, np.arange(len(ids)), text)
            writer.commit([], "0", DocumentCounts())
        opened.append(Tree.open(place))
        return opened[-1]

    yield make
    for tree in opened:
        tree.close()


def test_the_hybrid_lens_joins_words_and_keys(make_tree):
    told = []
    tree = make_tree(HashedWords())
    lenses = Lenses(tree, HashedWords(), told.append)
    lenses.load("hybrid")
    assert lenses.has_keys
    lens = lenses.choose("hybrid", "boat", HITS)
    assert lens.name == "hybrid"
    start = int(tree.timeline.start_rank[1])
    assert lens.utility[2] > 0.5 < lens.utility[start:].max()
    assert lenses.choose("lexical", "boat", HITS).utility[start:].max() == 0
    only_a = lenses.choose("hybrid", "boat", HITS, np.array([0]))
    assert not only_a.utility[start:].any()
    alone = lenses.choose("learned", "boat", [])
    assert (alone.name, alone.utility.argmax() >= start) == ("learned", True)
    np.testing.assert_array_equal(lenses.fixed_mix("boat", HITS).utility, lens.utility)
    near, far = (lenses.evidence("boat", HITS, np.array([rank])) for rank in (2, 0))
    assert (near.share, far.share) == (1, 0)
    assert near.similarity == far.similarity > 0.8
    assert lenses.evidence("boat", HITS, np.array([2]), np.array([0])).similarity < 0.5
    assert told == []


def test_without_an_encoder_nothing_is_said(make_tree):
    told = []
    lenses = Lenses(make_tree(None), None, told.append)
    assert lenses.choose("hybrid", "boat", HITS).name == "lexical"
    assert not lenses.has_keys
    assert lenses.evidence("boat", HITS, np.array([2])) is None
    with pytest.raises(ValueError, match="without lens keys"):
        lenses.fixed_mix("boat", HITS)
    assert told == []


def test_a_tree_without_keys_is_told_once(make_tree):
    told = []
    lenses = Lenses(make_tree(None), HashedWords(), told.append)
    assert lenses.choose("lexical", "boat", HITS).name == "lexical"
    assert told == []
    assert [lenses.choose("hybrid", "boat", HITS).name for _ in range(3)] == ["lexical"] * 3
    assert len(told) == 1
    assert "mctool ingest --rekey" in told[0]


def test_an_empty_tree_lacks_nothing(make_tree):
    told = []
    assert Lenses(make_tree(None, {}), HashedWords(), told.append).choose("hybrid", "boat", []).name == "lexical"
    assert told == []


def test_keys_that_cannot_be_read_are_told_once(make_tree, monkeypatch):
    told = []
    lenses = Lenses(make_tree(HashedWords()), HashedWords(), told.append)

    def fail(_query):
        raise TreeDamagedError("cannot read keys/x")

    monkeypatch.setattr(lenses._keys, "scores", fail)
    assert [lenses.choose("hybrid", "boat", HITS).name for _ in range(2)] == ["lexical"] * 2
    assert len(told) == 1
    assert "cannot read keys/x" in told[0]
    assert not lenses.has_keys


class SignedWords(HashedWords):
    """Words that point in all directions, as those of a real encoder do."""

    width = 64

    def query(self, question):
        vectors = [np.random.default_rng(zlib.crc32(word.encode())).normal(size=64) for word in question.split()]
        total = np.sum(vectors, axis=0).astype(np.float32) if vectors else np.zeros(64, np.float32)
        return total / max(np.linalg.norm(total), 1)


def many_documents():
    """64 documents of the same words; one alone speaks of the boat."""
    rng = np.random.default_rng(0)
    words = ["old", "pier", "rope", "salt", "tar", "mast", "oar", "net"]
    texts = {str(n): " ".join(rng.choice(words, 200)) + "\n" for n in range(64)}
    return texts | {"40": "boat " * 200}


def test_a_tree_up_to_the_limit_is_compared_whole_and_bit_for_bit_as_ever(make_tree):
    tree = make_tree(SignedWords(), many_documents())
    n_blocks = tree.timeline.total_blocks
    at, above = (Lenses(tree, SignedWords(), print, flat_blocks=limit) for limit in (n_blocks, n_blocks - 1))
    flat = tree.keys("hashed").scores(SignedWords().query("boat"))
    assert at._similarity("boat", [], None).tobytes() == flat.tobytes()
    assert at.read_share == 1
    above._similarity("boat", [], None)
    assert 0 < above.read_share <= 0.08


def test_the_lens_of_a_large_tree_finds_what_that_of_a_small_one_finds(make_tree):
    tree = make_tree(SignedWords(), many_documents())
    flat, walk = (Lenses(tree, SignedWords(), print, flat_blocks=limit) for limit in (10**9, 0))
    assert walk.read_share == 0
    for name in ("hybrid", "learned"):
        best = [lenses.choose(name, "boat", []).utility.argmax() for lenses in (flat, walk)]
        start, end = tree.timeline.start_rank[40:42].tolist()
        assert all(start <= rank < end for rank in best)
    shown = np.array([int(tree.timeline.start_rank[40]) + 2])
    assert walk.evidence("boat", [], shown).similarity == flat.evidence("boat", [], shown).similarity > 0.5
    inside = walk.choose("hybrid", "boat", HITS, np.array([3]))
    assert not np.delete(inside.utility, np.arange(*tree.timeline.start_rank[3:5].tolist())).any()
    assert walk.evidence("boat", HITS, shown, np.array([3])).similarity < 0.5
    np.testing.assert_array_equal(
        walk.choose("hybrid", "boat", []).utility, walk.choose("hybrid", "boat", [], None).utility
    )


def test_damaged_centroids_are_told_once(make_tree):
    told = []
    tree = make_tree(SignedWords(), many_documents())
    (file,) = (file for file in tree.path.glob("keys/*/centroids/c/**/0") if file.is_file())
    file.write_bytes(file.read_bytes()[::-1])
    lenses = Lenses(tree, SignedWords(), told.append, flat_blocks=0)
    assert [lenses.choose("hybrid", "boat", HITS).name for _ in range(2)] == ["lexical"] * 2
    assert len(told) == 1
    assert "damaged lens keys" in told[0]
    flat = Lenses(tree, SignedWords(), told.append)
    assert flat.choose("hybrid", "boat", HITS).name == "hybrid"
