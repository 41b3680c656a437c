import shutil
from pathlib import Path

import numpy as np
import pytest

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import TreeBusyError
from mctool.tree import Layout, Tree, check_lexical, open_writer, remake_lexical, remove_damaged_counts, verify_tree
from mctool.tree.repair import repair_keys, repair_segments

TEXTS = {"a": "äöü\n" * 20, "b": "b" * 100, "c": "two words\n" * 30}
SOURCES = {"a", "c"}
"""Documents whose source is unchanged."""


class ByteMaker:
    """The tokenizer of the trees here, and the sources that are left."""

    def encode(self, text):
        starts = np.repeat(np.arange(len(text)), [len(char.encode()) for char in text])
        return np.frombuffer(text.encode(), np.uint8).astype(np.uint32), starts

    def decode(self, ids):
        return ids.astype(np.uint8).tobytes().decode()

    def source(self, document):
        return TEXTS[document.path] if document.path in SOURCES else None


@pytest.fixture(scope="module")
def sound_tree(tmp_path_factory, make_ingester):
    """Document b is retired; c is in a segment of its own."""
    path = tmp_path_factory.mktemp("sound") / ".mctool"
    ingester = make_ingester(path)
    ingester.commit({"a": TEXTS["a"], "b": TEXTS["b"]})
    ingester.commit({"c": TEXTS["c"]}, retire=["b"])
    return path


@pytest.fixture
def tree_path(sound_tree, tmp_path):
    return Path(shutil.copytree(sound_tree, tmp_path / "copy"))


def spoil(path, *files, harm="flip"):
    for pattern in files:
        (victim,) = (path / "segments").glob(f"000000-*/{pattern}")
        raw = bytearray(victim.read_bytes())
        raw[len(raw) // 2] ^= 4
        if harm == "delete":
            victim.unlink()
        else:
            victim.write_bytes(raw if harm == "flip" else raw[:-1])


def everything(path):
    """All that a tree says."""
    with Tree.open(path) as tree:
        blocks = np.concatenate([np.arange(d.first_block, d.end_block) for d in tree.documents])
        spans = [tree.span(d.first_block, d.end_block) for d in tree.documents]
        gists = [tree.gists(lod, np.array([0, SEGMENT_BLOCKS // 32 ** max(lod - 1, 0)])) for lod in (1, 2, 3, 4)]
        return spans, [tree.tokens(blocks)[0].tolist()], [gist.tolist() for gist in gists]


@pytest.mark.parametrize("harm", ["flip", "cut", "delete"])
@pytest.mark.parametrize(
    "files",
    [
        ["lod1/c/0/0"],
        ["lod1/zarr.json", "parents-1/lod3/c/0/0"],
        ["parents-1/lod2/c/0/0"],
        ["zarr.json"],
        ["lod0/c/0/0"],
        ["text/c/0"],
        ["byte_start/c/0", "char_start/c/0", "line_start/c/0", "lod0/c/0/0", "lod1/c/0/0"],
    ],
)
def test_what_follows_from_the_rest_is_made_anew(tree_path, builder, files, harm):
    before = everything(tree_path)
    old = next((tree_path / "segments").glob("000000-*"))
    spoil(tree_path, *files, harm=harm)
    assert verify_tree(tree_path)
    repair_segments(tree_path, builder, ByteMaker())
    assert verify_tree(tree_path) == []
    assert everything(tree_path) == before
    assert not old.exists()
    remake_lexical(tree_path)
    with Tree.open(tree_path) as tree:
        assert check_lexical(tree) is None


def test_text_and_ids_that_are_both_lost_come_from_sources_or_not_at_all(tree_path, builder, monkeypatch):
    before = everything(tree_path)
    spoil(tree_path, "text/c/0", "lod0/c/0/0")
    damage = verify_tree(tree_path)
    repair_segments(tree_path, builder, ByteMaker())
    assert verify_tree(tree_path) == damage  # the source of b is gone, though b is retired
    monkeypatch.setattr(f"{__name__}.SOURCES", set(TEXTS))
    repair_segments(tree_path, builder, ByteMaker())
    assert verify_tree(tree_path) == []
    assert everything(tree_path) == before


def test_a_source_that_lies_is_not_believed(tree_path, builder, monkeypatch):
    spoil(tree_path, "text/c/0", "lod0/c/0/0")
    damage = verify_tree(tree_path)
    monkeypatch.setattr(ByteMaker, "source", lambda _self, document: TEXTS[document.path].replace("b", "d", 1))
    repair_segments(tree_path, builder, ByteMaker())
    assert verify_tree(tree_path) == damage


def test_a_document_over_two_segments(ingester, builder):
    long = "ab\n" * (SEGMENT_BLOCKS * 11) + "the end\n"
    texts = {"short": "s", "long": long, "last": "l"}
    ingester.commit(texts)
    with Tree.open(ingester.path) as tree:
        before = [tree.span(d.first_block, d.end_block) for d in tree.documents]
    spoil(ingester.path, "lod0/c/0/0", "byte_start/c/0")
    (other,) = (ingester.path / "segments").glob("000001-*/lod0/c/0/0")
    other.write_bytes(b"")
    (other,) = (ingester.path / "segments").glob("000001-*/byte_start/c/0")
    other.write_bytes(b"")
    repair_segments(ingester.path, builder, ByteMaker())
    assert verify_tree(ingester.path) == []
    with Tree.open(ingester.path) as tree:
        assert [tree.span(d.first_block, d.end_block) for d in tree.documents] == before


def test_a_sound_tree_is_left_alone(tree_path, builder):
    files = sorted((tree_path / "segments").rglob("*")) + sorted((tree_path / "lexical").rglob("*"))
    repair_segments(tree_path, builder, ByteMaker())
    repair_keys(tree_path, None)
    remake_lexical(tree_path)
    remove_damaged_counts(Layout(tree_path))
    assert sorted((tree_path / "segments").rglob("*")) + sorted((tree_path / "lexical").rglob("*")) == files
    with Tree.open(tree_path) as tree:
        assert tree.generation == 2


def test_a_repaired_tree_can_be_repaired_again_and_written_to(tree_path, builder, make_ingester):
    for _ in range(2):
        spoil(tree_path, "lod1/c/0/0")
        repair_segments(tree_path, builder, ByteMaker())
    assert next((tree_path / "segments").glob("000000-*")).name.endswith("r2")
    ingester = make_ingester(tree_path.parent / "other")
    ingester.path = tree_path
    ingester.commit({"d": "d"}, retire=["a"])
    assert verify_tree(tree_path) == []


def test_a_writer_goes_first(tree_path, builder):
    with open_writer(tree_path, builder), pytest.raises(TreeBusyError):
        repair_segments(tree_path, builder, ByteMaker())


def index_files(path):
    return sorted(file for file in (path / "lexical").rglob("*") if file.is_file() and ".lock" not in file.name)


def test_every_file_of_the_lexical_index_is_checked(tree_path):
    n_files = 0
    for file in index_files(tree_path):
        if file.name == ".managed.json":  # tantivy's list of files to remove
            continue
        n_files += 1
        sound = file.read_bytes()
        for harmed in (sound[: len(sound) // 2] + bytes([sound[len(sound) // 2] ^ 1]) + sound[len(sound) // 2 + 1 :],
                       sound[:-1], None):  # fmt: skip
            file.unlink()
            if harmed is not None:
                file.write_bytes(harmed)
            with Tree.open(tree_path) as tree:
                assert check_lexical(tree) is not None, (file, harmed)
            file.write_bytes(sound)
    assert n_files >= 7
    with Tree.open(tree_path) as tree:
        assert check_lexical(tree) is None
