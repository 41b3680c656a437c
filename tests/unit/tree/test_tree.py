import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, TreeDamagedError, TreeNotFoundError, UsageError
from mctool.core.records import DocumentCounts
from mctool.tree import Tree, find_tree, open_writer

TEXTS = {"a.txt": "Ein Bär\r\n漢字 𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞 ende\n", "b/c.py": "x = 1\n" * 50, "d": "é"}


def check_documents(tree, texts):
    """Everything that the tree says about its documents follows from their texts."""
    assert {document.path for document in tree.documents} == set(texts)
    for document in tree.documents:
        text = texts[document.path]
        assert tree.text(document.first_block, document.end_block) == text
        assert document.n_chars == len(text)
        ids, lengths = tree.tokens(np.arange(document.first_block, document.end_block))
        stored = b"".join(row[:n].astype(np.uint8).tobytes() for row, n in zip(ids, lengths, strict=True))
        assert stored.decode() == text
        for block in range(document.first_block, document.end_block, max(1, document.n_blocks // 7)):
            span = tree.span(block, min(block + 2, document.end_block))
            assert span.text == text[span.start_char : span.end_char]
            assert span.start_line == 1 + text[: span.start_char].count("\n")
            assert span.end_line == 1 + text[: max(span.end_char - 1, 0)].count("\n") or not span.text


def test_documents_come_back_exactly(ingester):
    ingester.commit(TEXTS)
    with Tree.open(ingester.path) as tree:
        check_documents(tree, TEXTS)
        assert [d.n_lines for d in tree.documents] == [2, 50, 1]
        assert tree.timeline.total_tokens == sum(len(text.encode()) for text in TEXTS.values())


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200), min_size=1, max_size=5))
def test_any_text_comes_back_exactly(tmp_path_factory, make_ingester, texts):
    path = tmp_path_factory.mktemp("any") / ".mctool"
    ingester = make_ingester(path)
    named = {str(i): text for i, text in enumerate(texts)}
    ingester.commit(named)
    with Tree.open(path) as tree:
        check_documents(tree, named)
        together = [text for _, block_texts in tree.iter_block_texts(tree.documents) for text in block_texts]
        assert "".join(together) == "".join(texts)


def test_a_document_runs_on_from_a_full_segment_into_the_next(ingester, builder):
    line = "Zeile mit Umlauten: ä ö ü\n"
    texts = {"first": "short\n", "long": line * (SEGMENT_BLOCKS * 32 // len(line.encode()) + 1000), "last": "end"}
    done = []
    ingester.commit(texts, builder=builder, progress=done.append)
    with Tree.open(ingester.path) as tree:
        check_documents(tree, texts)
        long = tree.documents[1]
        assert long.first_block < SEGMENT_BLOCKS < long.end_block
        assert len(list((ingester.path / "segments").iterdir())) == 2
        across = np.array([SEGMENT_BLOCKS + 3, 0, SEGMENT_BLOCKS - 1, SEGMENT_BLOCKS, 0])
        ids, lengths = tree.tokens(across)
        means = ids.sum(axis=1) / lengths
        np.testing.assert_allclose(tree.gists(1, across)[:, 0], means, rtol=1e-3)
        assert tree.gists(4, np.array([1, 0])).shape == (2, 4)
        span = tree.span(SEGMENT_BLOCKS - 1, SEGMENT_BLOCKS + 1)
        assert span.text == texts["long"][span.start_char : span.end_char]
        wanted = [tree.documents[2], long]
        blocks = np.concatenate([blocks for blocks, _ in tree.iter_block_texts(wanted)])
        assert blocks.tolist() == list(range(long.first_block, tree.documents[2].end_block))
    assert done[-1] == builder.n_leaves == sum(d.n_blocks for d in tree.documents)


def test_every_level_is_the_mean_of_the_live_blocks_below(ingester):
    ingester.commit({"a": "a" * 32 * 40, "b": "z" * 32 * 40})
    with Tree.open(ingester.path) as tree:
        assert tree.gists(2, np.array([2, 0, 2]))[:, 0].tolist() == [122.0, 97.0, 122.0]
        with pytest.raises(ValueError, match=r"LOD2 nodes \[3\]"):
            tree.gists(2, np.array([3]))
        with pytest.raises(ValueError, match="LOD5"):
            tree.gists(5, np.array([0]))
    ingester.commit({}, retire=["a"])
    with Tree.open(ingester.path) as tree:
        assert tree.gists(2, np.array([0, 1, 2]))[:, 0].tolist() == [0.0, 122.0, 122.0]
        assert tree.gists(4, np.array([0]))[0, 0] == 122.0
        assert tree.gists(1, np.array([0]))[0, 0] == 97.0
        with pytest.raises(ValueError, match="not live"):
            tree.tokens(np.array([0]))
        with pytest.raises(ValueError, match="not a run"):
            tree.text(0, 1)


def test_a_run_must_lie_within_one_document(ingester):
    ingester.commit({"a": "a" * 40, "b": "b" * 40})
    with Tree.open(ingester.path) as tree:
        for run in [(1, 3), (0, 0), (2, 1), (-1, 1), (3, 5)]:
            with pytest.raises(ValueError, match="not a run"):
                tree.span(*run)


def test_a_snapshot_stays_valid_while_a_writer_commits(ingester):
    ingester.commit({"a": "a" * 64, "b": "b" * 64})
    reader = Tree.open(ingester.path)
    ingester.commit({"a": "n" * 64}, retire=["a"])
    assert reader.generation == 1
    check_documents(reader, {"a": "a" * 64, "b": "b" * 64})
    assert reader.gists(2, np.array([0]))[0, 0] == 97.5
    revisions = sorted(path.name for path in (ingester.path / "segments").glob("*/parents-*"))
    assert revisions == ["parents-0", "parents-0", "parents-1"]
    reader.close()
    ingester.commit({"c": "c"})
    assert len(list((ingester.path / "segments").glob("000000-*/parents-*"))) == 1
    with Tree.open(ingester.path) as tree:
        check_documents(tree, {"a": "n" * 64, "b": "b" * 64, "c": "c"})
        assert tree.gists(2, np.array([0]))[0, 0] == 98.0


def test_a_tree_without_gists_keeps_text_only(tmp_path, ingester, make_fingerprint):
    path = tmp_path / "plain"
    Tree.create(path, make_fingerprint(gistnet=None, vocab_size=70000)).close()
    with open_writer(path) as writer:
        type(ingester)(path).add(writer, "a", TEXTS["a.txt"])
        writer.commit([], "0", DocumentCounts())
    with Tree.open(path) as tree:
        check_documents(tree, {"a": TEXTS["a.txt"]})
        assert {"lod0", "text"} <= set(tree.bytes_by_array())
        assert "lod1" not in tree.bytes_by_array()
        assert 0 < sum(tree.bytes_by_array().values()) < tree.bytes_on_disk()
        with pytest.raises(MismatchError, match="no gists"):
            tree.gists(1, np.array([0]))
    with pytest.raises(MismatchError, match="no GistNet"):
        open_writer(ingester.path)


def test_an_empty_tree_is_a_tree(ingester):
    with Tree.open(ingester.path) as tree:
        assert (tree.documents, tree.generation, tree.history()) == ([], 0, [])
        assert tree.timeline.total_tokens == 0
        assert tree.tokens(np.array([], np.int64))[0].shape == (0, 32)
        assert tree.gists(1, np.array([], np.int64)).shape == (0, 4)
        assert list(tree.iter_block_texts([])) == []


def test_the_nearest_tree_upward_is_found(ingester, tmp_path):
    deep = tmp_path / "x" / "y"
    (deep / ".mctool").mkdir(parents=True)  # holds no tree
    assert find_tree(deep) == ingester.path
    assert find_tree(tmp_path.parent) is None


def test_what_is_no_tree_is_refused(ingester, tmp_path, make_fingerprint):
    with pytest.raises(TreeNotFoundError):
        Tree.open(tmp_path / "none")
    with pytest.raises(UsageError, match="already"):
        Tree.create(ingester.path, make_fingerprint())
    ingester.commit(TEXTS)
    (ingester.path / "catalog.sqlite").unlink()
    for refused in (Tree.open, open_writer, lambda path: Tree.create(path, make_fingerprint())):
        with pytest.raises(TreeDamagedError, match="no catalog"):
            refused(ingester.path)


def test_a_missing_or_cut_file_is_found_on_opening(ingester):
    ingester.commit(TEXTS)
    (chunk,) = (ingester.path / "segments").glob("*/lod1/c/0/0")
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1])
    with pytest.raises(TreeDamagedError, match="the catalog says"):
        Tree.open(ingester.path)
    chunk.unlink()
    with pytest.raises(TreeDamagedError, match="cannot read"):
        Tree.open(ingester.path)


def test_a_flipped_byte_is_found_on_reading(ingester):
    ingester.commit(TEXTS)
    (chunk,) = (ingester.path / "segments").glob("*/lod0/c/0/0")
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    with Tree.open(ingester.path) as tree, pytest.raises(TreeDamagedError, match="lod0"):
        tree.tokens(np.array([0]))


def test_a_file_lost_after_opening_gives_no_invented_gists(ingester):
    ingester.commit(TEXTS)
    with Tree.open(ingester.path) as tree:
        assert np.isfinite(tree.gists(1, np.array([0]))).all()
        next((ingester.path / "segments").glob("*/lod1/c/0/0")).unlink()
        with pytest.raises(TreeDamagedError, match="not finite"):
            tree.gists(1, np.array([1]))


def test_access_counts_add_up(ingester):
    with Tree.open(ingester.path) as tree:
        assert tree.access_counts() == []
        assert tree.record_access(expanded=[(2, 0), (1, 5)], collapsed=[(2, 0)])
        assert tree.record_access(cited=[(2, 0)], expanded=[(2, 0)])
        rows = [(c.lod, c.index, c.expanded, c.collapsed, c.cited) for c in tree.access_counts()]
        assert rows == [(2, 0, 2, 1, 1), (1, 5, 1, 0, 0)]


def test_access_is_counted_while_a_writer_holds_the_lock(ingester, builder):
    with open_writer(ingester.path, builder), Tree.open(ingester.path) as tree:
        assert tree.record_access(cited=[(0, 1)])
