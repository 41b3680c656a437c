"""``mctool inspect`` on a small tree, through the program."""

import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from mctool.app.trees import locate_tree
from mctool.tree import Tree

TIDES = "".join(f"On day {day} the high tide came at {day % 12 + 1} o'clock.\n" for day in range(60))
CODE = "def read_lines(path):\n    with open(path) as file:\n        return file.readlines()\n"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """Where the tree of the first test is kept for the others; empty until then."""
    return tmp_path_factory.mktemp("ingested") / "project"


@pytest.fixture
def tree(project, run_cli, ingested):
    """A tree of two documents; the first has terminal escapes in it."""
    if not ingested.exists():
        (project / "docs").mkdir()
        (project / "docs" / "tides.md").write_text("\x1b[2Jfirst line\n" + TIDES)
        (project / "code.py").write_text(CODE)
        done = run_cli("ingest", ".")
        assert done.code == 0, done.err
        shutil.copytree(project, ingested)
    else:
        shutil.copytree(ingested, project, dirs_exist_ok=True)
    return project / ".mctool"


def test_the_whole_tree_as_json(tree, run_cli):
    report = run_cli("inspect", "--json").json
    expected = {
        *("tree", "model", "tokens", "documents", "blocks", "nodes", "bytes_on_disk", "bytes_by_array", "codec"),
        *("history", "fingerprint", "generation", "access"),
    }
    assert set(report) == expected
    assert report["tree"] == str(tree)
    paths = [document["path"] for document in report["documents"]]
    assert sorted(paths) == ["code.py", "docs/tides.md"]
    assert report["tokens"] == sum(document["tokens"] for document in report["documents"])
    assert report["blocks"] == sum(document["blocks"] for document in report["documents"]) == report["nodes"]["lod1"]
    ends = [0]
    for document in report["documents"]:
        assert document["start_token"] == ends[-1]
        ends.append(document["end_token"])
    assert ends[-1] == report["tokens"]
    assert report["bytes_on_disk"] >= sum(report["bytes_by_array"].values())
    assert [ingest["added"] for ingest in report["history"]] == [2]
    assert report["access"]["nodes"] == 0


def test_the_whole_tree_for_people(tree, run_cli):
    done = run_cli("inspect", "-t", tree)
    assert done.code == 0
    assert "in 2 documents" in done.out
    assert "docs/tides.md" in done.out
    assert done.err == ""


def test_nodes_fit_together(tree, run_cli):
    top = run_cli("inspect", "--node", "2:0", "--json").json
    assert top["children"] == [[1, index] for index in range(top["blocks"])]
    assert top["parent"] == [3, 0]
    assert top["gist_norm"] > 0
    texts = []
    for index in range(top["blocks"]):
        block = run_cli("inspect", "--node", f"0:{index}", "--json").json
        assert (block["parent"], block["children"], block["gist_norm"]) == ([1, index], [], None)
        (span,) = block["spans"]
        assert span["end_char"] - span["start_char"] == len(span["text"])
        texts.append((span["path"], span["text"]))
    shown = 0
    for span in top["spans"]:
        whole = "".join(text for path, text in texts if path == span["path"])
        assert whole.startswith(span["text"])
        assert span["text_blocks"] <= span["blocks"]
        shown += span["text_blocks"]
    assert shown == min(top["blocks"], 32)


def test_a_node_for_people_is_safe(tree, run_cli):
    with Tree.open(tree) as opened:
        first = next(document for document in opened.documents if document.path == "docs/tides.md").first_block
    done = run_cli("inspect", "--node", f"0:{first}")
    assert "docs/tides.md:1-" in done.out
    assert "␛[2Jfirst line" in done.out
    assert "\x1b" not in done.out


def test_documents_by_glob(tree, run_cli):
    assert [document["path"] for document in run_cli("inspect", "--doc", "*.py", "--json").json["documents"]] == [
        "code.py"
    ]
    assert "docs/tides.md" in run_cli("inspect", "--doc", "docs/*").out


def test_hot_spans_are_those_that_focus_touched(tree, run_cli):
    assert run_cli("inspect", "--hot", 3, "--json").json["spans"] == []
    assert "not touched anything yet" in run_cli("inspect", "--hot", 3).out
    with Tree.open(locate_tree(tree)) as opened:
        opened.record_access(expanded=[(1, 1), (1, 1), (2, 0), (1, 10**9)], cited=[(0, 1)])
    spans = run_cli("inspect", "--hot", 2, "--json").json["spans"]
    assert [(span["lod"], span["index"], span["access"]["expanded"]) for span in spans] == [(1, 1, 2), (0, 1, 0)]
    assert spans[0]["path"] is not None
    assert run_cli("inspect", "--json").json["access"]["expanded"] == 4
    assert run_cli("inspect", "--node", "1:1", "--json").json["access"] == {"expanded": 2, "collapsed": 0, "cited": 0}


def test_retired_documents_leave_holes(tree, run_cli):
    with Tree.open(tree) as opened:
        document = next(document for document in opened.documents if document.path == "code.py")
    (tree.parent / "code.py").unlink()
    assert run_cli("ingest", ".").code == 0
    done = run_cli("inspect", "--node", f"1:{document.first_block}")
    assert done.code == 2
    assert "LOD1 has" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--node", "1"], "not of the form LOD:INDEX"),
        (["--node", "1:-2"], "not of the form LOD:INDEX"),
        (["--node", "5:0"], "the levels are 0 (raw text) to 4"),
        (["--node", "2:7"], "LOD2 has"),
        (["--node", "0:99999999999999999999999"], "LOD0 has"),
        (["--hot", "0"], "--hot 0 is not a positive number"),
        (["--doc", "*.rs"], "--doc *.rs matches none of 2 documents"),
        (["--doc", "*", "--hot", "3"], "--doc and --hot exclude each other"),
    ],
)
def test_bad_input_is_refused(tree, run_cli, arguments, told):
    done = run_cli("inspect", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1


def test_no_tree(project, run_cli):
    assert run_cli("inspect").code == 3


def test_an_empty_tree_has_no_nodes(tree, run_cli):
    for name in ("code.py", "docs/tides.md"):
        (tree.parent / name).unlink()
    run_cli("ingest", ".")
    report = run_cli("inspect", "--json").json
    assert (report["tokens"], report["documents"]) == (0, [])
    assert run_cli("inspect").code == 0
    assert "the tree is empty" in run_cli("inspect", "--node", "1:0").err


def test_inspect_does_not_import_torch(tree):
    code = (
        "import sys\nfrom mctool.cli import main\n"
        f"code = main(['inspect', '-t', {str(tree)!r}]) or main(['inspect', '--node', '1:0', '-t', {str(tree)!r}])\n"
        "sys.exit([name for name in ('torch', 'transformers') if name in sys.modules] or code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_focus_for_a_question(tree, run_cli):
    question = "When was the high tide on day 17?"
    report = run_cli("inspect", "--query", question, "--json").json
    assert report["question"] == question
    assert report["answer"] == ""
    assert report["focus"]["entries"][-1]["end_token"] == report["tree"]["tokens"]
    drawn = run_cli("inspect", "--query", "-", stdin=question.encode())
    assert drawn.code == 0, drawn.err
    assert "against the first cover" in drawn.out
    assert f"{report['focus']['cost']:,} of {report['focus']['w_max']:,} tokens" in drawn.out


def trace_of(tree, tokens=None):
    with Tree.open(tree) as opened:
        tokens = tokens or opened.timeline.total_tokens
        block = opened.documents[0]
    rest = {"lod": 2, "start_token": 32, "end_token": tokens, "cost": 1, "score": 0.0}
    gist = {"lod": 1, "start_token": 0, "end_token": 32, "cost": 1, "score": 0.0}
    raw = gist | {"lod": 0, "cost": 32, "score": 2.0}
    rest |= {"path": None, "start_char": None, "end_char": None}
    place = {"path": block.path, "start_char": 0, "end_char": 9}
    events = [
        {"event": "question", "version": 1, "question": "Why\x1b[2J?", "w_max": 64, "tree": str(tree)},
        {"event": "refocus", "iteration": 1, "expand": [[1, 0]], "collapse": [], "expanded": 1, "collapsed": 0},
    ]
    events[0] |= {"tokens": tokens, "entries": [gist | place, rest]}
    events[1] |= {"swap_rate": 0.5, "cost": 33, "seconds": 0.001, "entries": [raw | place, rest]}
    return "".join(json.dumps(event) + "\n" for event in events)


def test_a_trace_is_replayed(tree, run_cli):
    done = run_cli("inspect", "--trace", "-", stdin=trace_of(tree).encode())
    assert done.code == 0, done.err
    assert "Question: Why␛[2J?" in done.out
    assert "Refocus 1: 1 expanded, 0 collapsed, swap rate 0.50, 1 ms" in done.out
    assert "33 of 64 tokens (52%)" in done.out
    assert ":1-" in done.out
    assert "ends here, before an answer" in done.out
    assert "\x1b" not in done.out


def test_a_trace_of_a_tree_that_has_changed_tells_tokens(tree, run_cli, tmp_path):
    file = tmp_path / "trace.jsonl"
    file.write_text(trace_of(tree, tokens=77_000))
    assert "tokens 0-32" in run_cli("inspect", "--trace", file).out
    questions = run_cli("inspect", "--trace", file, "--json").json["questions"]
    assert [question["tokens"] for question in questions] == [77_000]


def test_traces_that_cannot_be_read(tree, run_cli, tmp_path):
    assert run_cli("inspect", "--trace", tmp_path / "none").code == 6
    assert run_cli("inspect", "--trace", tmp_path).code == 6
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert run_cli("inspect", "--trace", tmp_path / "bytes").code == 6
    assert run_cli("inspect", "--trace", "-", stdin=trace_of(tree).replace('n": 1', 'n": 2', 1).encode()).code == 5


def test_cold_documents_are_those_that_focus_left_alone(tree, run_cli):
    with Tree.open(tree) as opened:
        touched = next(document for document in opened.documents if document.path == "code.py")
        opened.record_access(expanded=[(1, touched.first_block)], cited=[(4, 0)])
    documents = run_cli("inspect", "--cold", 5, "--json").json["documents"]
    assert [document["path"] for document in documents] == ["docs/tides.md", "code.py"]
    assert [document["access"]["expanded"] for document in documents] == [0, 1]
    assert [document["access"]["cited"] for document in documents] == [0, 0]
    assert len(run_cli("inspect", "--cold", 1, "--json").json["documents"]) == 1
    assert "docs/tides.md" in run_cli("inspect", "--cold", 1).out


def test_a_picture_of_the_focus(tree, run_cli, tmp_path):
    file = tmp_path / "map.svg"
    done = run_cli("inspect", "--query", "When was the high tide on day 17?", "--svg", file)
    assert (done.code, done.out) == (0, "")
    text = "".join(ElementTree.parse(file).getroot().itertext()).replace("\xa0", " ")
    assert "When was the high tide on day 17?" in text
    assert "[1] docs/tides.md:" in text
    assert "left out: all the rest" in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert run_cli("inspect", "--trace", "-", "--svg", "-", stdin=trace_of(tree).encode()).out.startswith("<svg")


def test_a_picture_that_moves(tree, run_cli, tmp_path):
    file = tmp_path / "cast.svg"
    question = "When was the high tide on day 17?"
    done = run_cli("inspect", "--query", question, "--svg", file, "--animate")
    assert (done.code, done.out) == (0, "")
    steps = run_cli("inspect", "--query", question, "--json").json["focus"]["iterations"]
    text = "".join(ElementTree.parse(file).getroot().itertext()).replace("\xa0", " ")
    assert text.count(f'mctool ask "{question}" --show-focus') == len(steps) + 3
    assert f"Refocus {len(steps)}: " in text
    assert "left out: all the rest" in text
    assert "[1] docs/tides.md:" in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--svg", "map.svg"], 2),
        (["--animate", "--query", "tide"], 2),
        (["--html", "page.html", "--json"], 2),
        (["--html", "page.html", "--hot", "3"], 2),
        (["--serve", "--doc", "*"], 2),
        (["--serve", "--html", "page.html"], 2),
        (["--cold", "0"], 2),
        (["--html", "none/page.html"], 9),
    ],
)
def test_pages_and_pictures_that_make_no_sense(tree, run_cli, arguments, code):
    done = run_cli("inspect", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)


def test_a_page_goes_to_standard_output(tree, run_cli):
    done = run_cli("inspect", "--html", "-")
    assert done.out.startswith("<!DOCTYPE html>")
    assert "docs/tides.md" in done.out


def test_a_page_is_served_until_it_is_interrupted(tree, run_cli, monkeypatch):
    def interrupted(_server):
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.HTTPServer.serve_forever", interrupted)
    done = run_cli("inspect", "--serve")
    assert (done.code, done.out) == (130, "")
    assert "open http://127.0.0.1:" in done.err
    done = run_cli("inspect", "--serve", "--trace", "-", stdin=trace_of(tree, tokens=77_000).encode())
    assert done.code == 3
