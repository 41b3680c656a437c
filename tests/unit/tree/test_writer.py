import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.errors import MismatchError, SourceError, TreeBusyError
from mctool.core.records import DocumentCounts, Skipped
from mctool.tree import DocumentMeta, Tree, open_writer, verify_tree

FULL = "x" * (SEGMENT_BLOCKS * 32) + "the rest\n"
"""One block more than a segment holds."""


def segment_names(ingester):
    return sorted(path.name for path in (ingester.path / "segments").iterdir())


def paths_of(ingester):
    with Tree.open(ingester.path) as tree:
        return [document.path for document in tree.documents]


def test_history_counts_and_generation(ingester):
    first = ingester.commit({"a": "a\n", "b": "b" * 100})
    with open_writer(ingester.path, type(first._builder)()) as writer:
        (old, _) = writer.documents
        writer.retire(old)
        new = ingester.add(writer, "a", "changed\n")
        counts = DocumentCounts(updated=1, unchanged=1, skipped=[Skipped("c", "binary")])
        assert writer.commit(["dir"], "1.2", counts) == 2
    with Tree.open(ingester.path) as tree:
        assert tree.generation == 2
        assert [d.path for d in tree.documents] == ["b", "a"]
        assert tree.documents[1] == new
        assert new.first_block == SEGMENT_BLOCKS
        last = tree.history()[-1]
        assert (last.id, last.sources, last.version, last.tokens_added) == (2, ["dir"], "1.2", 8)
        assert (last.added, last.updated, last.unchanged, last.retired, last.skipped) == (0, 1, 1, 0, 1)
        assert last.started_at.endswith("+00:00")
    assert verify_tree(ingester.path) == []


def test_a_touched_document_keeps_its_blocks(ingester, builder):
    ingester.commit({"a": "a"})
    with open_writer(ingester.path, builder) as writer:
        writer.touch(writer.documents[0], size=1, mtime_ns=99)
        writer.commit([], "0", DocumentCounts(unchanged=1))
    with Tree.open(ingester.path) as tree:
        assert tree.documents[0].mtime_ns == 99
        assert tree.text(0, 1) == "a"


def test_leaving_without_commit_changes_nothing(ingester, builder):
    ingester.commit({"a": "a"})
    before = segment_names(ingester)
    with open_writer(ingester.path, builder) as writer:
        writer.retire(writer.documents[0])
        ingester.add(writer, "b", "b")
    assert paths_of(ingester) == ["a"]
    assert segment_names(ingester) == before


def test_misuse_is_refused(ingester, builder):
    ingester.commit({"a": "a"})
    with open_writer(ingester.path, builder) as writer:
        (document,) = writer.documents
        with pytest.raises(ValueError, match="a is live"):
            ingester.add(writer, "a", "again")
        writer.retire(document)
        with pytest.raises(ValueError, match="retired"):
            writer.retire(document)
        with pytest.raises(ValueError, match="not live when"):
            writer.retire(ingester.add(writer, "new", "n"))
        with pytest.raises(SourceError, match="not valid UTF-8"):
            ingester.add(writer, "\udce4.txt", "text")
        with pytest.raises(ValueError, match="vocab_size 256"):
            writer.add(DocumentMeta("v", "", 0, 0, ""), np.array([256], np.uint32), np.array([0]), "v")
        writer.commit([], "0", DocumentCounts())
        with pytest.raises(ValueError, match="closed"):
            ingester.add(writer, "late", "l")
    assert paths_of(ingester) == ["new"]


def test_a_second_writer_is_told_at_once(ingester, builder):
    with open_writer(ingester.path, builder), pytest.raises(TreeBusyError):
        open_writer(ingester.path, builder)
    open_writer(ingester.path, builder).close()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e5])
def test_gists_that_cannot_be_stored_are_refused(ingester, builder, bad):
    builder.leaves = lambda ids, n_tokens: np.full((len(ids), 4), bad, np.float32)
    with pytest.raises(MismatchError, match="LOD1 gists that are not finite"):
        ingester.commit({"a": "a"}, builder=builder)
    assert paths_of(ingester) == []
    assert segment_names(ingester) == []


def test_an_interrupted_ingest_is_resumed_by_content(ingester, builder):
    builder.fail_after = SEGMENT_BLOCKS
    with pytest.raises(RuntimeError, match="the net broke"):
        ingester.commit({"long": FULL}, builder=builder)
    assert paths_of(ingester) == []
    (sealed,) = segment_names(ingester)

    again = type(builder)()
    writer = ingester.commit({"long": FULL}, builder=again)
    assert again.n_leaves == 1
    assert writer.resumed_blocks == SEGMENT_BLOCKS
    assert sealed in segment_names(ingester)
    assert verify_tree(ingester.path) == []


def test_a_sealed_segment_is_not_adopted_when_damaged_and_goes_when_unwanted(ingester, builder):
    builder.fail_after = SEGMENT_BLOCKS
    with pytest.raises(RuntimeError):
        ingester.commit({"long": FULL}, builder=builder)
    chunk = next((ingester.path / "segments").glob("*/lod1/c/0/0"))
    raw = bytearray(chunk.read_bytes())
    raw[100] ^= 1
    chunk.write_bytes(raw)
    builder.fail_after = 2 * SEGMENT_BLOCKS
    with pytest.raises(RuntimeError):
        ingester.commit({"long": FULL}, builder=builder)
    assert builder.n_leaves == 2 * SEGMENT_BLOCKS  # made again

    (ingester.path / "segments" / ".writing-000000-dead").mkdir()
    ingester.commit({"other": "o"})
    assert len(segment_names(ingester)) == 1
    assert verify_tree(ingester.path) == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from conftest import Ingester, MeanBuilder
from pathlib import Path
calls = 0
def counted(function):
    def call(*args):
        global calls
        calls += 1
        if calls == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)
    return call
os.fsync, Path.rename = counted(os.fsync), counted(Path.rename)
from mctool.tree import catalog_writer
catalog_writer.CatalogWriter.commit = counted(catalog_writer.CatalogWriter.commit)
Ingester(Path({path!r})).commit({{"new": "n" * 5000, "a": "changed"}}, retire=["a"])
print(calls)
"""


def ingest_in_child(ingester, at):
    script = KILLED.format(here=str(Path(__file__).parent), at=at, path=str(ingester.path))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_a_killed_writer_leaves_the_former_state(ingester):
    ingester.commit({"a": "a" * 64, "b": "b"})
    for at in (1, 20, 38, 45):
        killed = ingest_in_child(ingester, at)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert paths_of(ingester) == ["a", "b"]
        assert verify_tree(ingester.path) == []
    finished = ingest_in_child(ingester, -1)
    assert finished.returncode == 0, finished.stderr
    assert int(re.search(r"\d+", finished.stdout)[0]) > 45
    assert paths_of(ingester) == ["b", "new", "a"]
    assert len(segment_names(ingester)) == 2
    assert verify_tree(ingester.path) == []


FULL_DISK = """
import random, resource, sys
sys.path.insert(0, {here!r})
from conftest import Ingester
from pathlib import Path
from mctool.core.errors import ResourceError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Ingester(Path({path!r})).commit({{"new": "".join(map(chr, random.Random(0).choices(range(300, 40000), k=60_000)))}})
except ResourceError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_loses_nothing(ingester):
    ingester.commit({"a": "a"})
    script = FULL_DISK.format(here=str(Path(__file__).parent), path=str(ingester.path))
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "cannot write to the tree" in child.stdout, child.stderr
    assert paths_of(ingester) == ["a"]
    assert len(segment_names(ingester)) == 1
    assert verify_tree(ingester.path) == []


def test_the_commit_survives_power_loss(ingester, builder):
    with open_writer(ingester.path, builder) as writer:
        connection = writer._catalog._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert sqlite3.connect(ingester.path / "catalog.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)


READ_ONLY = """
import sys
sys.path.insert(0, {here!r})
from conftest import Ingester
from pathlib import Path
from mctool.core.errors import ResourceError
from mctool.tree import Tree, verify_tree
path = Path({path!r})
with Tree.open(path) as tree:
    print(tree.text(0, 1), tree.generation, tree.record_access(cited=[(0, 0)]), tree.access_counts())
print(verify_tree(path))
new = path.parent / "new"
for refused in (lambda: Ingester(path).commit({{"b": "b"}}), lambda: Tree.create(new, tree.fingerprint)):
    try:
        refused()
    except ResourceError as error:
        print("refused", error)
"""


@pytest.mark.parametrize("counted", [False, True])
def test_a_read_only_tree_can_be_read(ingester, counted):
    ingester.commit({"a": "text"})
    if counted:
        with Tree.open(ingester.path) as tree:
            tree.record_access(cited=[(0, 7)])
    drop = []
    if os.geteuid() == 0:  # root may write anywhere, unless it gives up its capabilities
        drop = [shutil.which("setpriv"), "--bounding-set=-all", "--inh-caps=-all"]
        if drop[0] is None:
            pytest.skip("root without setpriv cannot be kept from writing")
    places = [ingester.path.parent, ingester.path, *ingester.path.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    script = READ_ONLY.format(here=str(Path(__file__).parent), path=str(ingester.path))
    child = subprocess.run([*drop, sys.executable, "-c", script], capture_output=True, text=True, check=False)
    for place in places:
        place.chmod(0o755)
    lines = child.stdout.splitlines()
    assert len(lines) == 4, child.stderr
    counts = "[AccessCount(lod=0, index=7, expanded=0, collapsed=0, cited=1)]" if counted else "[]"
    assert lines[:2] == [f"text 1 False {counts}", "[]"]
    assert all(line.startswith("refused cannot") for line in lines[2:])
