"""``mctool ingest --dry-run``."""

import random

import pytest
from document_makers import make_html, make_pdf

from mctool.tree import Tree

STORY = "The lighthouse keeper wrote letters. Every morning the harbour master counted boats and wind.\n" * 20
CODE = "def read_lines(path):\n    with open(path) as file:\n        return [line.rstrip() for line in file]\n" * 9


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def files(project):
    """A directory ``docs`` of three files, one of them nested."""
    write(project / "docs" / "story.txt", STORY)
    write(project / "docs" / "code" / "lines.py", CODE)
    write(project / "docs" / "code" / "deep" / "note.md", "# A note\n\nShe asked the captain.\n")
    return project / "docs"


def test_writes_nothing(run_cli, project, files):
    estimate = run_cli("ingest", "docs", "--dry-run", "--json").json
    assert not (project / ".mctool").exists()
    assert (estimate["new"], estimate["changed"], estimate["unchanged"], estimate["retired"]) == (3, 0, 0, 0)
    tokens = run_cli("ingest", "docs", "--json").json["tokens"]
    assert estimate["tokens"] == pytest.approx(tokens, rel=0.01)


def test_what_it_takes_is_measured_on_a_sample(run_cli, project, monkeypatch, tmp_path):
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshr", k=draw.randint(2, 9))) for _ in range(2_000)]
    write(project / "docs" / "story.txt", " ".join(draw.choices(words, k=12_000)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    estimate = run_cli("ingest", "docs", "--dry-run", "--json").json
    assert estimate["basis"] == "sample"
    report = run_cli("ingest", "docs", "--json").json
    assert report["tokens"] > 20_000
    assert estimate["bytes_on_disk"] == pytest.approx(report["bytes_on_disk"], rel=0.3)
    write(project / "docs" / "more.txt", STORY)
    again = run_cli("ingest", "docs", "--dry-run", "--json").json
    assert (again["basis"], again["new"]) == ("history", 1)
    assert not list(tmp_path.glob("mctool-*"))


def test_documents_are_measured_by_their_text(run_cli, project):
    pages = [[f"Page {page} tells of boats, wind and tide."] * 40 for page in range(30)]
    (project / "book.pdf").write_bytes(make_pdf(pages))
    (project / "tale.html").write_bytes(make_html("Tale", "<p>The keeper waits.</p>" * 500))
    estimate = run_cli("ingest", "book.pdf", "tale.html", "--dry-run", "--json").json
    assert estimate["basis"] == "sample"
    report = run_cli("ingest", "book.pdf", "tale.html", "--json").json
    assert estimate["tokens"] == pytest.approx(report["tokens"], rel=0.05)
    assert estimate["bytes_on_disk"] == pytest.approx(report["bytes_on_disk"], rel=0.3)


def test_against_a_tree(run_cli, project, files):
    run_cli("ingest", "docs")
    write(files / "story.txt", "Quite another story.")
    (files / "code" / "lines.py").unlink()
    estimate = run_cli("ingest", "docs", "--dry-run", "--json").json
    assert (estimate["new"], estimate["changed"], estimate["unchanged"], estimate["retired"]) == (0, 1, 1, 1)
    with Tree.open(project / ".mctool") as tree:
        assert len(tree.documents) == 3


def test_needs_no_model(run_cli, project, files, monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
    done = run_cli("ingest", "docs", "--dry-run", "--model", "smollm2-135m-instruct")
    assert done.code == 0
    assert "nothing written" in done.out
    assert not (tmp_path / "cache").exists()


def test_missing_source(run_cli, project):
    assert run_cli("ingest", "nowhere", "--dry-run").code == 6


def test_a_folder_without_text(run_cli, project):
    write(project / "docs" / "blank.txt", "")
    done = run_cli("ingest", "docs", "--dry-run")
    assert (done.code, done.out.splitlines()[-1]) == (0, "to read: no text")
