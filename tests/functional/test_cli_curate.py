"""``mctool curate``, through the entry point, and what an ingest does by itself."""

import numpy as np
import pytest

from mctool.core.errors import UsageError
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


class TestPruning:
    """``curate plan``, ``apply`` and ``restore``."""

    @pytest.fixture
    def tree(self, run_cli, project, docs):
        (docs / "c.txt").write_text("The zeppelin landed in Ravenna.\n" + STORY)
        ingest(run_cli)
        assert run_cli("ask", "What landed in Ravenna?", "--no-answer").code == 0
        return project / ".mctool"

    def contents(self, tree):
        with Tree.open(tree) as opened:
            return {
                one.path: (
                    opened.text(one.first_block, one.end_block),
                    opened.tokens(np.arange(one.first_block, one.end_block))[0].tolist(),
                    opened.gists(1, np.arange(one.first_block, one.end_block)).tolist(),
                )
                for one in opened.documents
            }

    def test_plan_is_a_dry_run_and_keeps_what_is_touched(self, run_cli, tree):
        done = run_cli("curate", "plan", "--keep-fraction", 0.3, "--json")
        plan = done.json
        assert list(plan) == [
            "tree", "tokens", "tokens_to_archive", "bytes", "bytes_after", "protected", "archived", "documents",
        ]  # fmt: skip
        assert len(plan["documents"]) == 2
        assert "docs/c.txt" not in [document["path"] for document in plan["documents"]]
        assert plan["tokens_to_archive"] <= 0.7 * plan["tokens"]
        assert plan["bytes_after"] < plan["bytes"]
        text = run_cli("curate", "plan", "--keep-fraction", 0.3).out
        assert "docs/a.txt" in text
        assert "2 documents to archive" in text
        assert run_cli("inspect", "--json").json["generation"] == 1

    def test_protected_documents_are_left_alone(self, run_cli, tree):
        plan = run_cli("curate", "plan", "--keep-fraction", 0, "--protect", "*/a.txt", "--json").json
        assert sorted(document["path"] for document in plan["documents"]) == [
            "docs/b.txt", "docs/c.txt", "docs/d.txt",
        ]  # fmt: skip
        assert plan["protected"] == 1

    def test_size_decides(self, run_cli, tree):
        assert run_cli("curate", "plan", "--max-gb", 1, "--json").json["documents"] == []
        assert len(run_cli("curate", "plan", "--max-gb", 1e-6, "--json").json["documents"]) == 4

    def test_apply_and_restore_to_the_bit(self, run_cli, tree):
        before = self.contents(tree)
        report = run_cli("curate", "apply", "--keep-fraction", 0.3, "--json").json
        assert (report["documents"], report["archived"]) == (2, 2)
        assert report["archive_bytes"] > 0
        listed = {one["path"]: one["archived"] for one in run_cli("inspect", "--json").json["documents"]}
        assert [path for path, archived in sorted(listed.items()) if archived] == ["docs/a.txt", "docs/b.txt"]
        assert run_cli("verify").code == 0
        assert run_cli("inspect", "--node", "2:1024").code == 0
        with Tree.open(tree) as opened:
            hidden = opened.documents[int(opened.archived[0])]
            with pytest.raises(UsageError, match="curate restore"):
                opened.tokens(np.array([hidden.first_block]))
        done = run_cli("curate", "restore", "*/a.txt", "--json")
        assert (done.json["documents"], done.json["archived"]) == (1, 1)
        assert "1 document of" in run_cli("curate", "restore").out
        assert self.contents(tree) == before
        assert run_cli("verify").code == 0
        assert list((tree / "archive").iterdir()) == []

    def test_archived_text_is_not_shown(self, run_cli, tree):
        run_cli("curate", "apply", "--keep-fraction", 0, "--protect", "*/a.txt")
        done = run_cli("ask", "What landed in Ravenna?", "--no-answer", "--json")
        assert done.code == 0
        assert done.err == "3 documents are archived and not searched; `mctool curate restore` brings the text back\n"
        shown = {entry["path"] for entry in done.json["focus"]["entries"] if entry["lod"] == 0}
        assert shown <= {"docs/a.txt"}
        assert done.json["focus"]["entries"][-1]["end_token"] == done.json["tree"]["tokens"]
        run_cli("curate", "restore")
        done = run_cli("ask", "What landed in Ravenna?", "--no-answer", "--json")
        assert "docs/c.txt" in {entry["path"] for entry in done.json["focus"]["entries"] if entry["lod"] == 0}

    def test_an_archived_document_that_changes_comes_back_with_its_new_text(self, run_cli, tree, docs):
        run_cli("curate", "apply", "--keep-fraction", 0)
        (docs / "b.txt").write_text("new " + STORY)
        assert ingest(run_cli)["documents"]["updated"] == 1
        assert run_cli("verify").code == 0
        assert run_cli("curate", "compact").code == 0
        assert run_cli("verify").code == 0
        assert len(list((tree / "archive").iterdir())) == 3
        assert run_cli("curate", "restore", "--json").json["documents"] == 3

    def test_a_missing_or_damaged_file_of_the_archive_is_told(self, run_cli, tree):
        run_cli("curate", "apply", "--keep-fraction", 0)
        file = next((tree / "archive").iterdir())
        packed = file.read_bytes()
        file.unlink()
        assert run_cli("verify").code == 4
        done = run_cli("curate", "restore")
        assert done.code == 9
        assert "put the file back" in done.err
        file.write_bytes(packed[:-1])
        assert run_cli("curate", "restore").code == 4
        file.write_bytes(packed)
        assert run_cli("curate", "restore").code == 0

    @pytest.mark.parametrize(
        "options",
        [(), ("--keep-fraction", 2), ("--max-gb", 0), ("--keep-fraction", 0.5, "--max-gb", 1),
         ("--keep-fraction", 0.5, "--protect", "nothing")],
    )  # fmt: skip
    def test_nonsense_is_refused(self, run_cli, tree, options):
        assert run_cli("curate", "plan", *options).code == 2
        assert run_cli("curate", "restore", "nothing").code == 2
