"""``mctool curate``, through the entry point, and what an ingest does by itself."""

import pytest

from mctool.tree import Tree
from mctool.tree.compact import FANOUT

STORY = "The lighthouse keeper wrote letters. Every morning the harbour master counted boats and wind.\n" * 20


@pytest.fixture
def docs(project):
    (project / "docs").mkdir()
    for name in "abcd":
        (project / "docs" / f"{name}.txt").write_text(f"{name} {STORY}")
    return project / "docs"


def ingest(run_cli):
    done = run_cli("ingest", "docs", "--json")
    assert done.code == 0, done.err
    return done.json


def n_segments(project):
    with Tree.open(project / ".mctool") as tree:
        return tree.n_segments


def test_compact(run_cli, project, docs):
    ingest(run_cli)
    (docs / "a.txt").write_text("changed " + STORY)
    tokens = ingest(run_cli)["tokens"]
    assert n_segments(project) == 2
    report = run_cli("curate", "compact", "--json").json
    assert list(report) == [
        "tree", "segments", "merged", "made", "moved_blocks", "dropped_blocks", "bytes_before", "bytes_after",
        "seconds",
    ]  # fmt: skip
    assert (report["segments"], report["merged"], report["made"]) == (1, 2, 1)
    assert report["dropped_blocks"] > 0
    assert report["bytes_after"] < report["bytes_before"]
    assert run_cli("inspect", "--json").json["tokens"] == tokens
    assert run_cli("verify").code == 0
    assert "nothing to merge in 1 segment" in run_cli("curate", "compact").out
    assert ingest(run_cli)["documents"]["unchanged"] == 4
    asked = run_cli("ask", "Who counted boats?", "--no-answer", "--json")
    assert asked.code == 0
    assert asked.err == ""  # the lexical index needed no repair


def test_text(run_cli, project, docs):
    ingest(run_cli)
    (docs / "a.txt").unlink()
    ingest(run_cli)
    out = run_cli("curate", "compact").out
    assert "1 segment became 1" in out
    assert "retired blocks are gone" in out


def test_segments_stay_few_however_often_a_file_changes(run_cli, project, docs):
    ingest(run_cli)
    found = []
    for step in range(2 * FANOUT):
        (docs / "a.txt").write_text(f"version {step} " + STORY)
        ingest(run_cli)
        found.append(n_segments(project))
    assert max(found) <= FANOUT + 1
    assert min(found) < found[1]
    assert run_cli("verify").code == 0


def test_without_a_tree(run_cli, project):
    assert run_cli("curate", "compact").code == 3
