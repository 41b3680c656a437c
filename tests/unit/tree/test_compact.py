"""Merging segments: what is chosen, and that nothing but the place of documents changes."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, TreeBusyError
from mctool.core.records import DocumentCounts
from mctool.tree import LexicalIndex, Tree, check_lexical, compact_tree, open_writer, verify_tree
from mctool.tree.catalog_writer import CatalogWriter
from mctool.tree.compact import FANOUT, plan_compaction, units_of
from mctool.tree.rows import Document, Segment, StoredDocument

FULL = "x" * (SEGMENT_BLOCKS * 32) + "the rest\n"
"""One block more than a segment holds."""

ENCODER = "encoder-1-of-the-tests"


class HashedTexts:
    """Keys by the hash of a block and the one before it; fails when it is used once too often."""

    width = 4
    fingerprint = ENCODER
    frozen = False

    def document_keys(self, documents):
        assert not self.frozen, "keys are made anew"
        pairs = [texts[max(i - 1, 0) : i + 1] for texts in documents for i in range(len(texts))]
        rows = [list(zlib.crc32("".join(pair).encode()).to_bytes(4)) for pair in pairs]
        return np.array(rows, np.uint8).view(np.int8).reshape(-1, 4), np.full(len(rows), 0.5, np.float16)


class Tiny:
    """A tree that is filled by many ingests."""

    def __init__(self, ingester, builder):
        self.ingester, self.builder, self.encoder = ingester, builder, HashedTexts()

    def commit(self, texts):
        with open_writer(self.ingester.path, self.builder, None, self.encoder) as writer:
            live = {document.path: document for document in writer.documents}
            for path, text in texts.items():
                if path in live:
                    writer.retire(live[path])
                if text:
                    self.ingester.add(writer, path, text)
            writer.commit(["source"], "0", DocumentCounts())

    def contents(self):
        """What is to be seen of each live document, wherever it lies."""
        with Tree.open(self.ingester.path) as tree:
            scores = tree.keys(ENCODER).scores(np.array([1.0, 0.5, -1.0, 0.25], np.float32))
            found = {}
            for document in tree.documents:
                blocks = np.arange(document.first_block, document.end_block)
                span = tree.span(document.first_block, document.end_block)
                starts, ends = tree.char_ranges(blocks, blocks + 1)
                found[document.path] = (
                    *(span, document.n_tokens, document.sha256),
                    *(tree.tokens(blocks)[0].tobytes(), tree.gists(1, blocks).tobytes()),
                    *(starts.tobytes(), ends.tobytes(), scores[tree.timeline.rank(blocks)].tobytes()),
                )
            return found

    def segments(self):
        with Tree.open(self.ingester.path) as tree:
            return tree.n_segments

    def compact(self, everything=True):
        self.encoder.frozen, n_leaves = True, self.builder.n_leaves
        try:
            return compact_tree(self.ingester.path, self.builder, everything)
        finally:
            assert self.builder.n_leaves == n_leaves, "gists are made anew"
            self.encoder.frozen = False


@pytest.fixture
def tiny(ingester, builder):
    return Tiny(ingester, builder)


def test_compaction_moves_documents_and_changes_nothing_else(tiny):
    tiny.commit({"a": "the harbour\n" * 30, "b": "boats\n"})
    tiny.commit({"c": "Grüße 東京\n" * 9, "b": "more boats\n" * 20})
    tiny.commit({"d": "x", "a": ""})
    before = tiny.contents()
    done = tiny.compact()
    assert tiny.contents() == before
    assert (done.merged, done.made, tiny.segments()) == (3, 1, 1)
    assert done.dropped_blocks == 12 + 1
    assert done.bytes_after < done.bytes_before
    assert verify_tree(tiny.ingester.path) == []
    assert sorted(p.name[:6] for p in (tiny.ingester.path / "segments").iterdir()) == ["000003"]
    assert sorted(p.name[:6] for p in (tiny.ingester.path / "keys").iterdir()) == ["000003"]
    with Tree.open(tiny.ingester.path) as tree:
        assert check_lexical(tree) is None
        assert len(tree.history()) == 3
        (hits,) = LexicalIndex.open(tree).hits("boats")
        assert len(hits.blocks) == -(-len("more boats\n" * 20) // 32)
        children = tree.gists(1, tree.timeline.nodes_at(1)).astype(np.float32)
        np.testing.assert_allclose(tree.gists(2, tree.timeline.nodes_at(2))[0], children.mean(axis=0), rtol=1e-3)
    assert tiny.compact().merged == 0


def test_documents_that_cross_segments_stay_whole(tiny):
    tiny.commit({"long": FULL, "b": "boats\n"})
    tiny.commit({"c": "c" * 99})
    tiny.commit({"b": ""})
    before = tiny.contents()
    done = tiny.compact()
    assert tiny.contents() == before
    assert done.dropped_blocks == 1
    assert tiny.segments() == 2
    assert verify_tree(tiny.ingester.path) == []


def test_without_a_live_document_the_last_segment_stays(tiny):
    tiny.commit({"a": "a"})
    tiny.commit({"a": "b"})
    tiny.commit({"a": ""})
    tiny.compact()
    assert tiny.segments() == 1
    tiny.commit({"c": "c"})
    assert verify_tree(tiny.ingester.path) == []
    with Tree.open(tiny.ingester.path) as tree:
        assert tree.documents[0].first_block == 2 * SEGMENT_BLOCKS


def test_a_reader_goes_on_with_its_snapshot(tiny):
    tiny.commit({"a": "a" * 40})
    tiny.commit({"b": "b" * 40})
    with Tree.open(tiny.ingester.path) as old:
        assert tiny.compact().made == 1
        assert [old.text(d.first_block, d.end_block) for d in old.documents] == ["a" * 40, "b" * 40]
        assert old.gists(1, old.timeline.nodes_at(1)).shape == (4, 4)
    assert len(list((tiny.ingester.path / "segments").iterdir())) == 3
    tiny.commit({"c": "c"})
    assert len(list((tiny.ingester.path / "segments").iterdir())) == 2


def test_access_counts_follow_their_blocks(tiny):
    tiny.commit({"a": "a" * 40})
    tiny.commit({"b": "b" * 70})
    with Tree.open(tiny.ingester.path) as tree:
        tree.record_access(expanded=[(1, SEGMENT_BLOCKS + 2), (2, 0)], cited=[(0, SEGMENT_BLOCKS + 2)])
    tiny.commit({"a": ""})
    tiny.compact()
    with Tree.open(tiny.ingester.path) as tree:
        (b,) = tree.documents
        counts = {(count.lod, count.index): count for count in tree.access_counts()}
        assert set(counts) == {(0, b.first_block + 2), (1, b.first_block + 2)}
        assert counts[1, b.first_block + 2].expanded == 1


def test_a_crash_before_the_commit_leaves_the_tree_as_it_was(tiny, monkeypatch):
    tiny.commit({"a": "a" * 40})
    tiny.commit({"b": "b" * 40})
    before = tiny.contents()

    def die(self, rewrite):
        raise RuntimeError("the machine stopped")

    monkeypatch.setattr(CatalogWriter, "commit_rewrite", die)
    with pytest.raises(RuntimeError, match="stopped"):
        tiny.compact()
    monkeypatch.undo()
    assert tiny.contents() == before
    assert len(list((tiny.ingester.path / "segments").iterdir())) == 3
    tiny.commit({"c": "c"})  # the index, which is ahead of the catalog, is made anew, and the leftover goes
    assert len(list((tiny.ingester.path / "segments").iterdir())) == 3
    with Tree.open(tiny.ingester.path) as tree:
        assert check_lexical(tree) is None
    assert verify_tree(tiny.ingester.path) == []


def test_compaction_needs_the_nets_of_the_tree_and_the_lock(tiny):
    tiny.commit({"a": "a"})
    tiny.commit({"b": "b"})
    with pytest.raises(MismatchError):
        compact_tree(tiny.ingester.path, None, everything=True)
    with open_writer(tiny.ingester.path, tiny.builder), pytest.raises(TreeBusyError):
        tiny.compact()


def test_many_small_ingests_make_few_segments(tiny):
    tiny.commit({f"base{i}": "base\n" * 50 for i in range(20)})
    most = 0
    for step in range(3 * FANOUT):
        tiny.commit({f"f{step % 7}": f"version {step}\n" * 30})
        tiny.compact(everything=False)
        most = max(most, tiny.segments())
    assert FANOUT <= most <= FANOUT + 1
    assert verify_tree(tiny.ingester.path) == []
    with Tree.open(tiny.ingester.path) as tree:
        assert len(tree.documents) == 27


def stored(sizes, n_retired=()):
    """Segments of the given sizes, each one document, and these."""
    segments = [Segment(number, f"s{number}", size, 0, {}) for number, size in enumerate(sizes)]
    documents = [
        StoredDocument(
            Document(n, f"d{n}", "", 0, 0, "utf-8", n * SEGMENT_BLOCKS, size, size * 32, 0, 0),
            1,
            2 if n in n_retired else None,
        )
        for n, size in enumerate(sizes)
    ]
    return segments, documents


sizes = st.lists(st.integers(1, SEGMENT_BLOCKS - 1), min_size=1, max_size=40)


@given(sizes, st.sets(st.integers(0, 39)))
def test_what_is_chosen(of_segments, retired):
    segments, documents = stored(of_segments, retired)
    due = plan_compaction(segments, documents)
    assert due == sorted(set(due))
    kept = [unit for unit in units_of(segments, documents) if unit.numbers[0] not in due]
    for tier in range(4):
        last_dead = kept and kept[-1].n_live == 0
        assert sum(unit.tier == tier for unit in kept) < FANOUT + bool(last_dead)
    assert set(due) <= set(plan_compaction(segments, documents, everything=True)) or len(due) == 1
    rest = [unit for unit in units_of(segments, documents) if unit.numbers[0] not in
            plan_compaction(segments, documents, everything=True)]  # fmt: skip
    assert len([unit for unit in rest if unit.is_small]) <= 1


def test_full_segments_are_left_alone():
    segments, documents = stored([SEGMENT_BLOCKS] * 9 + [5])
    assert plan_compaction(segments, documents) == []
    assert plan_compaction(segments, documents, everything=True) == []
    segments, documents = stored([SEGMENT_BLOCKS] * 9 + [5], {3})
    assert plan_compaction(segments, documents) == [3]
