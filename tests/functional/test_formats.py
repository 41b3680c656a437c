"""Documents of every format: what is ingested, what is cited, and what is said about broken ones."""

import bz2
import gzip
import lzma
import os
import re
import subprocess
from pathlib import Path

import pytest
from document_makers import (
    broken,
    empty,
    make_docx,
    make_epub,
    make_html,
    make_notebook,
    make_pdf,
    make_pptx,
    make_tar,
    make_xlsx,
    make_zip,
    sound,
    write_mixed,
)

from mctool.sources.extract import formats
from mctool.tree import Tree

SECRET = "The captain hid the emerald compass under the third stair."
FILLER = "The harbour master counted boats, wind and tide. " * 12
PAGE = [FILLER[:90]] * 20
COMPASS = "Where is the emerald compass?"

ROWS = {
    "a.md": (f"# Tales\n\n{SECRET}\n{FILLER}\n".encode(), None),
    "a.rst": (f"Tales\n=====\n\n{SECRET}\n".encode(), None),
    "a.tex": (f"\\section{{Tales}}\n{SECRET}\n".encode(), None),
    "a.html": (make_html("The stair", SECRET), '§ "The stair"'),
    "a.pdf": (make_pdf([PAGE, [*PAGE, SECRET, *PAGE], PAGE]), "p. 2"),
    "a.epub": (make_epub([("One", f"<p>{FILLER}</p>"), ("The stair", f"<p>{SECRET}</p>")]), 'ch. "The stair"'),
    "a.docx": (make_docx([FILLER * 3, (1, "The stair"), FILLER, SECRET]), '§ "The stair"'),
    "a.pptx": (make_pptx([("Boats", FILLER, ""), ("Stair", SECRET, "")]), "slide 2"),
    "a.xlsx": (make_xlsx({"Boats": [[FILLER]], "Stair": [["where", SECRET]]}), 'sheet "Stair"'),
    "a.ipynb": (make_notebook([(FILLER, ""), ("print(stair)", SECRET)]), "cell 2"),
    "a.py": (f"# Das Möwennest\nSTAIR = '{SECRET}'\n".encode("cp1252"), None),
    "a.txt.gz": (gzip.compress(f"{SECRET}\n".encode()), None),
    "a.html.bz2": (bz2.compress(make_html("The stair", SECRET)), '§ "The stair"'),
    "a.pdf.xz": (lzma.compress(make_pdf([PAGE, [SECRET]])), "p. 2"),
    "a.zip": (make_zip({"in/b.pdf": make_pdf([PAGE, [*PAGE, SECRET, *PAGE]])}), "p. 2"),
    "a.tar": (make_tar({"in/b.epub": make_epub([("Stair", f"<p>{SECRET}</p>")])}, "w"), 'ch. "Stair"'),
    "a.tar.gz": (make_tar({"in/b.txt": f"{SECRET}\n".encode()}), None),
    "a.tar.bz2": (make_tar({"in/b.txt": f"{SECRET}\n".encode()}, "w:bz2"), None),
    "a.tar.xz": (make_tar({"in/b.txt": f"{SECRET}\n".encode()}, "w:xz"), None),
}


WORDS = {"code": ".py", "Markdown": ".md", "reStructuredText": ".rst", "LaTeX": ".tex", "notebooks": ".ipynb"}


def test_every_row_of_the_readme_has_a_document_here():
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    rows = readme.split("\n## Formats\n\n")[1].split("\n\n")[0].splitlines()[2:]
    tested = set()
    for row in rows:
        formats = row.split("|")[1]
        suffixes = set(re.findall(r"`(\.[a-z.0-9]+)`", formats))
        suffixes |= {suffix for word, suffix in WORDS.items() if word in formats}
        suffixes |= {f".{word.lower()}" for word in re.findall(r"\b[A-Z]{3,4}\b|\bEPUB\b", formats)}
        assert suffixes, row
        for suffix in suffixes:
            assert any(name.endswith(suffix) for name in ROWS), f"{suffix} in {row}"
        tested |= suffixes
    assert {".html", ".pdf", ".epub", ".docx", ".pptx", ".xlsx", ".ipynb", ".tar.xz"} < tested


def reasons(done):
    return {skip["path"]: skip["reason"] for skip in done.json["documents"]["skipped"]}


@pytest.mark.parametrize("name", list(ROWS))
def test_each_format_is_ingested_and_cited_by_its_places(run_cli, project, name):
    data, place = ROWS[name]
    (project / name).write_bytes(data)
    done = run_cli("ingest", name, "--json")
    assert (done.code, done.json["documents"]["added"]) == (0, 1), done.err
    cited = run_cli("ask", COMPASS, "--no-answer", "--json", "--lens", "lexical").json["citations"]
    best = next(citation for citation in cited if "emerald compass" in citation["text"])
    with Tree.open(project / ".mctool") as tree:
        [document] = tree.documents
    assert best["path"] == document.path
    text = run_cli("inspect", "--text", document.path).out
    assert SECRET in text
    assert text[best["start_char"] : best["end_char"]] == best["text"]
    assert text.count("\n", 0, best["start_char"]) + 1 == best["start_line"]
    if place is None:
        assert best["place"] is None
    else:
        assert place.split(" ", 1)[1] in best["place"]
        assert best["place"].startswith(place.split()[0])
        shown = run_cli("ask", COMPASS, "--no-answer", "--lens", "lexical").out
        assert f"{document.path} {best['place']}" in shown
    assert run_cli("verify").code == 0


def test_mixed_folder(run_cli, project):
    n_broken = write_mixed(project / "mixed", 500)
    done = run_cli("ingest", "mixed", "--json")
    assert done.code == 6
    assert f"{n_broken} sources could not be ingested: " in done.err
    assert f"and {n_broken - 5} more" in done.err
    assert done.json["peak_rss_mb"] < 2_500
    skipped = reasons(done)
    for name in broken():
        assert skipped[f"mixed/set0/{name}"].startswith("broken "), name
    assert skipped["mixed/set0/locked.pdf"] == "broken PDF: it is encrypted"
    assert "encrypted, or of the format before 2007" in skipped["mixed/set0/old.xlsx"]
    assert skipped["mixed/set0/blank.pdf"] == "PDF without text"
    assert skipped["mixed/set0/blank.docx"] == "DOCX without text"
    files = [file for file in (project / "mixed").rglob("*") if file.is_file()]
    left_out = {file for file in files if file.name in broken() | empty()}
    assert {project / path for path in skipped} == left_out
    n_members = sum(file.name == "papers.zip" for file in files)  # each holds two files
    assert done.json["documents"]["added"] == len(files) - len(left_out) + n_members
    again = run_cli("ingest", "mixed", "--json")
    assert again.code == 6
    assert again.json["documents"]["unchanged"] == done.json["documents"]["added"]
    assert again.json["tokens_added"] == 0
    asked = run_cli("ask", "-f", "mixed/set0", COMPASS, "--no-answer", "--json")
    assert asked.code == 0, asked.err  # broken files beside good ones are told, and that is all
    assert "could not be ingested" in asked.err


class TestArchives:
    """Files in archives are documents of their own."""

    def test_members_come_and_go(self, run_cli, project):
        place = project / "papers.zip"
        place.write_bytes(make_zip({"a.txt": "one text\n", "b/c.py": "x = 1\n", "b/d.png": "x", "n.zip": make_zip({})}))
        done = run_cli("ingest", ".", "--json")
        assert (done.code, done.json["documents"]["added"]) == (0, 2)
        assert reasons(done) == {"papers.zip!/b/d.png": "binary", "papers.zip!/n.zip": "archive within an archive"}
        assert run_cli("ingest", ".", "--json").json["documents"]["unchanged"] == 2
        place.write_bytes(make_zip({"a.txt": "one text\n", "e.txt": "another\n"}))
        documents = run_cli("ingest", ".", "--json").json["documents"]
        assert [documents[name] for name in ("added", "unchanged", "retired")] == [1, 1, 1]
        assert run_cli("ask", "another?", "--json", "--no-answer").json["tree"]["stale"] == []
        place.unlink()
        (project / "z.txt").write_text("z")
        assert run_cli("ingest", ".", "--json").json["documents"]["retired"] == 2

    def test_without_text_is_refused_when_named(self, run_cli, project):
        (project / "art.zip").write_bytes(make_zip({"a.png": "x"}))
        done = run_cli("ingest", "art.zip")
        assert done.code == 6
        assert "art.zip cannot be ingested: archive without text files" in done.err
        assert not (project / ".mctool").exists()

    def test_bombs_are_refused(self, run_cli, project):
        (project / "a.txt").write_text("text")
        (project / "bomb.zip").write_bytes(make_zip({f"{n}.txt": bytes(9_000_000) for n in range(6)}))
        (project / "bomb.tar.gz").write_bytes(make_tar({f"{n}.txt": b" " * 900_000 for n in range(20)}))
        (project / "bomb.txt.gz").write_bytes(gzip.compress(b"x" * 2_000_000))
        done = run_cli("ingest", ".", "--json", "--max-file-mb", "1")
        assert done.code == 6
        assert reasons(done)["bomb.zip"].startswith("broken archive: it unpacks to 54 MB")
        assert reasons(done)["bomb.tar.gz"] == "broken archive: it unpacks to more than 16 MB"
        assert reasons(done)["bomb.txt.gz"] == "broken file: it unpacks to a file larger than 1 MB"

    def test_names_that_lead_out_are_left_out(self, run_cli, project):
        (project / "a.tar").write_bytes(make_tar({"../x.txt": b"x\n", "/y.txt": b"y\n", "z.txt": b"z\n"}, "w"))
        done = run_cli("ingest", "a.tar", "--json")
        assert done.json["documents"]["added"] == 1
        assert set(reasons(done).values()) == {"name is not a plain relative path"}


def test_a_named_document_without_its_reader_is_exit_code_8(run_cli, project, monkeypatch):
    monkeypatch.setattr(formats, "_is_installed", lambda module: False)
    (project / "a.pdf").write_bytes(make_pdf([["A page."]]))
    done = run_cli("ingest", "a.pdf")
    assert done.code == 8
    assert 'PDF needs `pip install "mctool[docs]"`' in done.err
    (project / "a.txt").write_text("text")
    done = run_cli("ingest", ".", "--json")
    assert done.code == 0
    assert reasons(done) == {"a.pdf": 'PDF needs `pip install "mctool[docs]"`'}


def test_documents_on_standard_input_go_by_their_name(run_cli, project):
    assert run_cli("ingest", "-", "--name", "b.epub", stdin=sound("tide")["novel.epub"]).code == 0
    assert "## Two" in run_cli("inspect", "--text", "b.epub").out
    record = run_cli("inspect", "--text", "b.epub", "--json").json
    assert [place["name"] for place in record["places"]][-1] == 'ch. "Two"'
    assert run_cli("ingest", "-", "--name", "c.docx", stdin=b"junk").code == 6
    assert run_cli("inspect", "--text", "c.docx").code == 2


def test_a_document_that_breaks_is_retired(run_cli, project):
    (project / "a.txt").write_text("text")
    (project / "b.pdf").write_bytes(make_pdf([["A page."]]))
    assert run_cli("ingest", ".").code == 0
    (project / "b.pdf").write_bytes(b"%PDF-1.4 nothing")
    done = run_cli("ingest", ".", "--json")
    assert (done.code, done.json["documents"]["retired"]) == (6, 1)


def test_templates_and_parts_of_pages_stay_source_code(run_cli, project):
    source = "{% extends 'base.html' %}\n<p class='x'>Hello</p>\n"
    (project / "t.html").write_text(source)
    assert run_cli("ingest", "t.html").code == 0
    assert run_cli("inspect", "--text", "t.html").out == source


def git(directory, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", *arguments]
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)


def test_a_commit_makes_only_the_changed_files_be_read(run_cli, project, monkeypatch):
    git(project, "init", "-b", "main")
    (project / ".git" / "info" / "exclude").write_text(".mctool/\n")
    for number in range(12):
        (project / f"m{number}.py").write_text(f"def f{number}():\n    return {number}\n")
    git(project, "add", ".")
    git(project, "commit", "-m", "one")
    assert run_cli("ingest", ".", "--json").json["documents"]["added"] == 12
    git(project, "checkout", "-b", "work")
    (project / "m3.py").write_text("def g():\n    return 'changed'\n")
    (project / "m4.py").unlink()
    (project / "new.py").write_text("def new():\n    return 0\n")
    git(project, "add", "-A")
    git(project, "commit", "-m", "two")
    read = []
    from mctool.app import read_ahead

    real = read_ahead.read_document

    def note(file, *rest):
        read.append(file.path.name)
        return real(file, *rest)

    monkeypatch.setattr(read_ahead, "read_document", note)
    documents = run_cli("ingest", ".", "--json").json["documents"]
    assert sorted(read) == ["m3.py", "new.py"]
    counted = [documents[name] for name in ("added", "updated", "unchanged", "retired")]
    assert counted == [1, 1, 10, 1]
    git(project, "checkout", "main")
    documents = run_cli("ingest", ".", "--json").json["documents"]
    assert [documents[name] for name in ("added", "updated", "unchanged", "retired")] == [1, 1, 10, 1]


def test_lang_and_path_narrow_what_is_searched(run_cli, project):
    (project / "a.py").write_text("def close_socket():\n    pass\n")
    (project / "b.go").write_text("func closeSocket() {}\n")
    run_cli("ingest", ".")

    def paths(*options):
        done = run_cli("ask", "Where is a socket closed?", "--no-answer", "--json", "--lens", "lexical", *options)
        return {citation["path"] for citation in done.json["citations"]}

    assert paths() == {"a.py", "b.go"}
    assert paths("--lang", "go") == {"b.go"}
    assert paths("--lang", "go", "--lang", "python") == {"a.py", "b.go"}
    done = run_cli("ask", "x?", "--lang", "cobol")
    assert (done.code, "--lang cobol is not known" in done.err) == (2, True)
    done = run_cli("ask", "x?", "--lang", "go", "--path", "a.*")
    assert (done.code, "--path a.* --lang go matches no document" in done.err) == (2, True)
