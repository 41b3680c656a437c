"""``mctool models`` and ``mctool verify``, through the entry point."""

import pytest

from mctool.core.config import DEFAULT_MODEL

TEXT = "The lighthouse keeper wrote letters. Every morning the harbour master counted boats and wind.\n" * 20


@pytest.fixture
def tree(run_cli, project):
    """A tree of one document."""
    (project / "story.txt").write_text(TEXT)
    assert run_cli("ingest", "story.txt").code == 0
    return project / ".mctool"


class TestModels:
    """``mctool models``."""

    def test_list(self, run_cli, project):
        (model,) = run_cli("models", "list", "--json").json
        assert model["name"] == DEFAULT_MODEL
        assert model["license"] == "Apache-2.0"
        assert DEFAULT_MODEL in run_cli("models", "list").out

    def test_path_of_a_directory(self, run_cli, project, tiny_model_dir):
        assert run_cli("models", "path", tiny_model_dir).out == f"{tiny_model_dir}\n"
        assert run_cli("models", "path", tiny_model_dir, "--json").json == {
            "name": "tiny-llama",
            "path": str(tiny_model_dir),
        }

    def test_path_of_a_model_that_is_not_here(self, run_cli, project, monkeypatch, tmp_path):
        monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
        done = run_cli("models", "path")
        assert done.code == 8
        assert f"run `mctool models pull {DEFAULT_MODEL}`" in done.err

    def test_pull_of_a_directory_has_nothing_to_do(self, run_cli, project, tiny_model_dir):
        assert run_cli("models", "pull", tiny_model_dir).out == f"{tiny_model_dir}\n"

    @pytest.mark.parametrize(("name", "code"), [("nonsense", 2), ("./no/model", 5), ("no.gguf", 5)])
    def test_names_that_mean_nothing(self, run_cli, project, name, code):
        assert run_cli("models", "pull", name).code == code

    def test_no_command(self, run_cli, project):
        assert run_cli("models").code == 2


class TestVerify:
    """``mctool verify``."""

    def test_sound(self, run_cli, project, tree):
        assert run_cli("verify").out == f"{tree} is sound\n"
        assert run_cli("verify", "-q").out == ""
        assert run_cli("verify", "--json").json == {
            "tree": str(tree),
            "ok": True,
            "damage": [],
            "repaired": [],
            "notes": [],
        }

    def test_damaged_file(self, run_cli, project, tree):
        chunk = max(tree.glob("segments/*/text/c/**/*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
        raw = bytearray(chunk.read_bytes())
        raw[len(raw) // 2] ^= 255
        chunk.write_bytes(raw)
        done = run_cli("verify")
        assert done.code == 4
        assert len(done.out.splitlines()) == 1
        assert "sha256" in done.out
        assert "(blocks 0 to " in done.out
        assert "is damaged in 1 place;" in done.err
        report = run_cli("verify", "--json")
        assert report.code == 4
        assert report.json["ok"] is False
        assert report.json["damage"][0]["start_block"] == 0

    def test_repair(self, run_cli, project, tree):
        """Everything but the catalog is made anew; the source of the document is still there."""
        (tree / "access.sqlite").write_bytes(b"no database")
        for pattern in ("segments/*/lod1/c/0/0", "segments/*/lod0/c/0/0", "segments/*/text/c/0", "lexical/index/*.idx"):
            file = next(tree.glob(pattern))
            file.write_bytes(file.read_bytes()[:-1])
        assert run_cli("verify").code == 4
        done = run_cli("verify", "--repair")
        assert (done.code, done.err) == (0, "")
        assert [line.partition(": ")[0] for line in done.out.splitlines()] == ["repaired"] * 5 + [f"{tree} is sound"]
        assert " of story.txt\n" in done.out
        assert run_cli("verify", "--repair").out == f"{tree} is sound\n"
        assert "harbour" in run_cli("ask", "Who counted boats?", "--no-answer").out

    def test_what_cannot_be_repaired_is_named(self, run_cli, project, tree):
        for pattern in ("segments/*/lod0/c/0/0", "segments/*/text/c/0"):
            next(tree.glob(pattern)).write_bytes(b"")
        (project / "story.txt").write_text("another story")
        report = run_cli("verify", "--repair", "--json")
        assert report.code == 4
        assert [damage["documents"] for damage in report.json["damage"]] == [["story.txt"]] * 2
        assert report.json["repaired"] == []
        assert "cannot be made anew, of 1 document; " in report.err
        assert "ingest the sources into a new tree" in report.err

    def test_repair_needs_the_model_of_the_tree(self, run_cli, project, tree, monkeypatch):
        next(tree.glob("segments/*/lod1/c/0/0")).write_bytes(b"")
        monkeypatch.setenv("MCTOOL_WEIGHTS", str(project))
        refused = run_cli("verify", "--repair")
        assert refused.code == 5
        assert "gistnet" in refused.err

    def test_an_interrupted_ingest_is_no_damage(self, run_cli, project, tree):
        stamp = tree / "lexical" / "stamp.json"
        stamp.write_text(stamp.read_text().replace("true", "false"))
        done = run_cli("verify")
        assert done.code == 0
        assert "interrupted" in done.err
        assert run_cli("verify", "--repair").err == ""

    def test_damaged_catalog(self, run_cli, project, tree):
        (tree / "catalog.sqlite").write_bytes(b"no database" * 100)
        report = run_cli("verify", "--json")
        assert report.code == 4
        assert report.json["damage"][0]["where"] == "catalog.sqlite"

    def test_no_tree(self, run_cli, project):
        done = run_cli("verify")
        assert done.code == 3
        assert "mctool ingest" in done.err
        assert run_cli("verify", "-t", "nowhere").code == 3

    def test_tree_without_catalog(self, run_cli, project, tree):
        for file in tree.glob("catalog.sqlite*"):
            file.unlink()
        assert run_cli("verify").code == 4
        assert run_cli("verify", "-t", tree).code == 4
