import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import zarr

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MctoolError, MismatchError, TreeDamagedError, TreeNotFoundError
from mctool.tree import Tree, open_writer, verify_tree
from mctool.tree.segments import checksum_files

TEXTS = {"a": "äöü\n" * 20, "b": "b" * 100}


@pytest.fixture(scope="module")
def sound_tree(tmp_path_factory, make_ingester):
    path = tmp_path_factory.mktemp("sound") / ".mctool"
    ingester = make_ingester(path)
    ingester.commit(TEXTS)
    ingester.commit({"c": "c\n" * 70}, retire=["b"])
    assert verify_tree(path) == []
    return path


@pytest.fixture
def tree_path(sound_tree, tmp_path):
    return Path(shutil.copytree(sound_tree, tmp_path / "copy"))


def change_catalog(path, statement, *values):
    """Change rows as a bug in a writer would: nothing but their sense tells."""
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection, connection:
        connection.execute(statement, values)
        connection.execute("DELETE FROM meta WHERE key = 'digest'")


def rewrite(path, segment, array, change):
    """Change an array and make the catalog's checksums fit, as a bug in a writer would."""
    (directory,) = (path / "segments").glob(f"{segment:06d}-*")
    stored = zarr.open_array(directory / array, mode="r+")
    values = stored[...]
    change(values)
    stored[...] = values
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        (files,) = connection.execute("SELECT files FROM segments WHERE number = ?", (segment,)).fetchone()
    files = checksum_files(directory, json.loads(files))
    change_catalog(path, "UPDATE segments SET files = ? WHERE number = ?", json.dumps(files), segment)


@pytest.mark.parametrize(
    "file", ["lod0/c/0/0", "lod1/c/0/0", "text/c/0", "byte_start/c/0", "parents-1/lod2/c/0/0", "lod0/zarr.json"]
)
@pytest.mark.parametrize("harm", ["flip", "cut", "delete"])
def test_damaged_files_are_found_once_with_their_blocks(tree_path, file, harm):
    (victim,) = (tree_path / "segments").glob(f"000000-*/{file}")
    raw = bytearray(victim.read_bytes())
    if harm == "flip":
        raw[len(raw) // 2] ^= 4
    victim.write_bytes(raw[: -1 if harm == "cut" else None])
    if harm == "delete":
        victim.unlink()
    (damage,) = verify_tree(tree_path)
    assert damage.where.endswith(file)
    assert damage.range == (0, 9)
    assert {"flip": "sha256", "cut": "bytes", "delete": "cannot read"}[harm] in damage.what


def add_one(row):
    def change(values):
        values[row] += 1

    return change


@pytest.mark.parametrize(
    ("segment", "array", "change", "what", "where", "blocks"),
    [
        (0, "text", lambda v: v.__setitem__(0, 255), "not UTF-8", "text", (0, 1)),
        (0, "byte_start", add_one(1), "not UTF-8", "text", (0, 2)),
        (1, "byte_start", add_one(1), "disagree", "c", (SEGMENT_BLOCKS, SEGMENT_BLOCKS + 5)),
        (0, "byte_start", add_one(0), "do not ascend", "byte_start", (0, 9)),
        (0, "char_start", add_one(2), "disagree", "a", (0, 5)),
        (0, "line_start", add_one(4), "disagree", "a", (0, 5)),
        (0, "char_start", add_one(8), "disagree", "b", (5, 9)),
        (0, "lod0", lambda v: v[8].__setitem__(31, 9), "after the end", "lod0", (8, 9)),
        (0, "lod0", lambda v: v[3].__setitem__(3, 256), "beyond the vocabulary", "lod0", (3, 4)),
        (0, "lod1", lambda v: v[3].__setitem__(1, np.inf), "not finite", "lod1", (0, 9)),
        (0, "parents-1/lod3", lambda v: v[0].__setitem__(0, np.nan), "not finite", "lod3", (0, 9)),
    ],
)
def test_wrong_content_under_right_checksums_is_found(tree_path, segment, array, change, what, where, blocks):
    rewrite(tree_path, segment, array, change)
    damages = verify_tree(tree_path)
    assert [(d.where.endswith(where), what in d.what) for d in damages] == [(True, True)], damages
    assert damages[0].range == blocks


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM documents WHERE path = 'b'", "begins at block 32768, not at 5"),
        ("DELETE FROM documents WHERE path = 'c'", "belong to no document"),
        ("DELETE FROM documents WHERE path = 'a'", "begins at block 5, not at 0"),
        ("UPDATE documents SET n_tokens = 999 WHERE path = 'a'", "cannot fill"),
        ("UPDATE documents SET n_chars = 3 WHERE path = 'a'", "disagree"),
        ("UPDATE documents SET n_lines = 3 WHERE path = 'c'", "disagree"),
        ("DELETE FROM ingests WHERE id = 1", "not in the history"),
        ("UPDATE segments SET n_blocks = 8 WHERE number = 0", "not uint16"),
        ("DELETE FROM segments WHERE number = 0", "begins at block 0, not at 32768"),
    ],
)
def test_a_catalog_that_disagrees_with_itself_is_found(tree_path, statement, what):
    change_catalog(tree_path, statement)
    assert any(what in damage.what for damage in verify_tree(tree_path)), verify_tree(tree_path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE documents SET path = 'e' WHERE path = 'a'",
        "UPDATE documents SET mtime_ns = 8 WHERE path = 'a'",
        "UPDATE ingests SET seconds = seconds + 1e-9",
        "UPDATE meta SET value = '1' WHERE key = 'generation'",
        "UPDATE segments SET files = replace(files, ':', ': ')",
    ],
)
def test_a_change_in_any_row_of_the_catalog_is_found(tree_path, statement):
    with closing(sqlite3.connect(tree_path / "catalog.sqlite")) as connection, connection:
        connection.execute(statement)
    (damage,) = verify_tree(tree_path)
    assert (damage.where, damage.what) == ("catalog.sqlite", "rows are not as the last commit left them")


def damage_counts(path, statement):
    with Tree.open(path) as tree:
        assert tree.record_access(cited=[(0, 1)])
    with closing(sqlite3.connect(path / "access.sqlite")) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("statement", ["UPDATE access SET cited = -1", "UPDATE access SET cited = 'x'"])
def test_counts_that_are_none_are_found(tree_path, statement):
    damage_counts(tree_path, statement)
    (damage,) = verify_tree(tree_path)
    assert damage.where == "access.sqlite"


def test_a_damaged_file_of_access_counts_is_found(tree_path):
    (tree_path / "access.sqlite").write_bytes(b"no database " * 100)
    (damage,) = verify_tree(tree_path)
    assert damage.where == "access.sqlite"


def test_bytes_of_the_catalog_may_be_anything(tree_path):
    """Flipped anywhere, the catalog reads as it was, or is refused or found to be damaged; it never is a bug."""
    catalog = tree_path / "catalog.sqlite"
    with closing(sqlite3.connect(catalog)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound = catalog.read_bytes()
    with Tree.open(tree_path) as tree:
        documents = tree.documents
    rng = random.Random(7)
    n_found = 0
    for _ in range(150):
        raw = bytearray(sound)
        place = rng.randrange(len(raw))
        if not raw[place]:  # mostly free space
            continue
        raw[place] ^= 1 << rng.randrange(8)
        catalog.write_bytes(raw)
        for rest in tree_path.glob("catalog.sqlite-*"):
            rest.unlink()
        try:
            if verify_tree(tree_path):
                n_found += 1
                continue
            with Tree.open(tree_path) as tree:
                assert tree.documents == documents, place
        except MctoolError:
            n_found += 1
    assert n_found > 15


def test_an_unreadable_catalog_is_an_error_everywhere(tree_path, builder):
    catalog = tree_path / "catalog.sqlite"
    catalog.write_bytes(b"\0" + catalog.read_bytes()[1:])
    for use in (verify_tree, Tree.open, lambda path: open_writer(path, builder)):
        with pytest.raises(TreeDamagedError, match="catalog"):
            use(tree_path)


def test_a_row_that_makes_no_sense_is_damage(tree_path):
    change_catalog(tree_path, "UPDATE meta SET value = '{}' WHERE key = 'fingerprint'")
    with pytest.raises(TreeDamagedError, match="makes no sense"):
        Tree.open(tree_path)


def test_a_newer_format_asks_for_an_upgrade(tree_path):
    change_catalog(tree_path, "UPDATE meta SET value = '3' WHERE key = 'format'")
    with pytest.raises(MismatchError, match="upgrade"):
        Tree.open(tree_path)


def test_no_tree_is_not_a_sound_tree(tmp_path):
    with pytest.raises(TreeNotFoundError):
        verify_tree(tmp_path)
