"""``mctool ask`` on a small tree, through the program."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ask_contract import COMPASS, SOURCES, assert_sound

from mctool.render.safe_text import safe_text

SHORT = ("--max-new-tokens", 12)


@pytest.fixture
def tree(letters_tree):
    return letters_tree


@pytest.mark.parametrize(
    ("question", "path", "said"),
    [
        (COMPASS, "letters.txt", "emerald compass under the third stair"),
        ("Wie heißt die Möwe?", "grüße.md", "Ottilie"),
        ("What is the password?", "windows.txt", "swordfish.\r\n"),
        ("Where did the zeppelin land?", "bom.txt", "The zeppelin"),
        ("open_harbour", "code/reader.py", "def open_harbour(path)"),
    ],
)
def test_citations_are_exact(tree, run_cli, question, path, said):
    result = run_cli("ask", question, "--json", "--no-answer").json
    assert_sound(result)
    assert result["supported"]
    assert result["answer"] == ""
    assert result["citations"][0]["path"] == path
    assert said in result["citations"][0]["text"]
    assert result["usage"] == {"prompt_tokens": 0, "window_slots": 0, "completion_tokens": 0}


@pytest.mark.parametrize("positions", ["squeeze", "compact", "absolute"])
def test_an_answer_as_json(tree, run_cli, positions, tiny_model_dir):
    done = run_cli("ask", COMPASS, "--json", "--positions", positions, *SHORT)
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    result = done.json
    assert_sound(result)
    assert (result["question"], result["positions"], result["lens"]) == (COMPASS, positions, "lexical")
    assert result["model"] == tiny_model_dir.name
    assert result["tree"] | {"tokens": 0} == {"path": str(tree), "tokens": 0, "documents": 5, "stale": []}
    raw = sum(entry["cost"] for entry in result["focus"]["entries"] if entry["lod"] == 0)
    assert result["usage"]["window_slots"] == raw
    assert 0 < result["usage"]["completion_tokens"] <= 12
    assert result["focus"]["w_max"] == 2048
    assert result["seconds"]["total"] >= result["seconds"]["first_token"] > 0


def without_times(result):
    focus = result["focus"] | {"iterations": [step | {"seconds": 0} for step in result["focus"]["iterations"]]}
    return result | {"seconds": 0, "peak_rss_mb": 0, "focus": focus}


def test_the_same_question_gives_the_same_result(tree, run_cli):
    results = [
        without_times(run_cli("ask", COMPASS, "--json", "--temperature", 1, "--seed", 3, *SHORT).json) for _ in range(2)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("w_max", [160, 250, 450])
@pytest.mark.parametrize("more", [(), ("--no-narrow",)])
def test_the_budget_holds(tree, run_cli, w_max, more):
    question = "How many ships did the keeper see near the pier?"
    result = run_cli("ask", question, "--json", "--w-max", w_max, "--max-new-tokens", 4, *more).json
    assert_sound(result)
    assert result["focus"]["w_max"] == w_max
    raw = sum(entry["cost"] for entry in result["focus"]["entries"] if entry["lod"] == 0)
    assert raw >= 32
    if w_max == 450:
        assert (raw > 256) == bool(more)


def test_a_longer_answer_keeps_focus_and_citations_true(tree, run_cli):
    result = run_cli("ask", COMPASS, "--json", "--temperature", 1, "--seed", 2, "--max-new-tokens", 90).json
    assert_sound(result)


def test_explained_citations_are_sorted_by_what_they_are_worth(tree, run_cli):
    result = run_cli("ask", "compass swordfish zeppelin", "--json", "--explain", "--temperature", 1, *SHORT).json
    assert_sound(result)
    worth = [citation["delta_nats"] for citation in result["citations"]]
    if result["supported"]:
        assert len(worth) > 1
        assert worth == sorted(worth, reverse=True)


def test_a_question_that_nothing_speaks_for(tree, run_cli):
    done = run_cli("ask", "Qwertzuiop?", "--json")
    assert done.code == 0
    result = done.json
    assert_sound(result)
    assert (result["supported"], result["answer"]) == (False, "The documents do not say.")
    assert result["citations"] == []
    assert run_cli("ask", "Qwertzuiop?").out == "The documents do not say.\n"


def test_the_answer_goes_to_stdout_and_citations_to_stderr(tree, run_cli):
    seed = next(
        seed
        for seed in range(20)
        if run_cli("ask", COMPASS, "--json", "--temperature", 1, "--seed", seed, *SHORT).json["supported"]
    )
    options = ("--temperature", 1, "--seed", seed, *SHORT)
    result = run_cli("ask", COMPASS, "--json", *options).json
    done = run_cli("ask", COMPASS, *options)
    assert done.code == 0
    assert done.out == safe_text(result["answer"]) + "\n"
    assert "[1] letters.txt:" in done.err
    assert "emerald compass" in done.err
    assert run_cli("ask", COMPASS, "-q", *options).err == ""


def test_without_an_answer_citations_are_the_result(tree, run_cli):
    done = run_cli("ask", COMPASS, "--no-answer")
    assert "[1] letters.txt:" in done.out
    assert done.err == ""
    assert "No text in the documents" in run_cli("ask", "Qwertzuiop?", "--no-answer").out


def test_the_question_can_come_from_stdin(tree, run_cli):
    result = run_cli("ask", "-", "--json", "--no-answer", stdin="Wie heißt die Möwe?\n".encode()).json
    assert "Ottilie" in result["citations"][0]["text"]


def test_only_documents_of_a_path_are_cited(tree, run_cli):
    result = run_cli("ask", "keeper compass password", "--path", "*.txt", "--json", "--no-answer").json
    assert {citation["path"] for citation in result["citations"]} <= {"letters.txt", "windows.txt", "bom.txt"}
    result = run_cli("ask", "open the harbour path", "--path", "reader.py", "--json", "--no-answer").json
    assert {citation["path"] for citation in result["citations"]} == {"code/reader.py"}
    assert_sound(result)


def test_a_tree_without_documents_supports_nothing(tree, run_cli, project):
    for name in SOURCES:
        (project / name).unlink()
    run_cli("ingest", ".")
    result = run_cli("ask", COMPASS, "--json").json
    assert_sound(result)
    assert (result["supported"], result["focus"]["entries"]) == (False, [])


def questions_file(project, *records):
    file = project / "questions.jsonl"
    file.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    return file


ASKED = [
    {"id": "b", "question": COMPASS},
    {"id": 7, "question": "What is the\u2028password?"},
    {"question": "zeppelin"},
]


def test_many_questions(tree, run_cli, project, monkeypatch):
    from mctool.nets.base_model import BaseModel

    loads = []
    load = BaseModel.load
    monkeypatch.setattr(BaseModel, "load", lambda *arguments: loads.append(1) or load(*arguments))
    done = run_cli("ask", "--questions", questions_file(project, *ASKED), "--json", *SHORT)
    assert (done.code, done.err) == (0, "")
    results = [json.loads(line) for line in done.out.split("\n")[:-1]]
    assert [result.pop("id") for result in results] == ["b", 7, None]
    assert [result["question"] for result in results] == [record["question"] for record in ASKED]
    for result in results:
        assert_sound(result)
    assert loads == [1]


def test_many_questions_from_stdin_with_a_bom_and_blank_lines(tree, run_cli):
    lines = "\ufeff" + json.dumps(ASKED[0]) + "\r\n\n" + json.dumps(ASKED[1]) + "\n"
    done = run_cli("ask", "--questions", "-", "--json", "--no-answer", stdin=lines.encode())
    assert [json.loads(line)["id"] for line in done.out.split("\n")[:-1]] == ["b", 7]


def test_the_files_of_a_question(project, run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
    (project / "a.txt").write_text("The compass lies under the stair.\n")
    ask = ("ask", "Where is the compass?", "-f", "a.txt", "--json", "--no-answer")
    done = run_cli(*ask)
    assert done.code == 0, done.err
    place = Path(done.json["tree"]["path"])
    assert place.is_relative_to(tmp_path / "cache")
    assert not (project / ".mctool").exists()
    assert done.json["citations"][0]["text"] == "The compass lies under the stair.\n"
    (project / "a.txt").write_text("The compass was sold.\n")
    os.utime(project / "a.txt", (1, 1))
    again = run_cli(*ask).json
    assert again["tree"]["path"] == str(place)
    assert again["tree"]["stale"] == []
    assert again["citations"][0]["text"] == "The compass was sold.\n"
    streamed = run_cli("ask", "compass", "-f", "-", "--json", "--no-answer", stdin=b"A compass on a pipe.\n").json
    assert streamed["citations"][0]["text"] == "A compass on a pipe.\n"
    assert streamed["tree"]["path"] != str(place)


def test_a_trace_can_be_replayed(tree, run_cli, project):
    done = run_cli("ask", COMPASS, "--trace", "trace.jsonl", "--json", *SHORT)
    events = [json.loads(line) for line in (project / "trace.jsonl").read_text().splitlines()]
    iterations = done.json["focus"]["iterations"]
    assert [event["event"] for event in events] == ["question", *["refocus"] * len(iterations), "answer"]
    assert events[-2]["entries"] == done.json["focus"]["entries"]
    assert [event["expanded"] for event in events[1:-1]] == [step["expanded"] for step in iterations]
    replayed = run_cli("inspect", "--trace", "trace.jsonl")
    assert replayed.code == 0, replayed.err
    assert COMPASS in replayed.out
    assert f"Refocus {len(iterations)}:" in replayed.out


def test_a_trace_on_stdout_is_all_that_is_there(tree, run_cli):
    done = run_cli("ask", COMPASS, "--trace", "-", *SHORT)
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line)["event"] for line in done.out.splitlines()][-1] == "answer"
    assert run_cli("inspect", "--trace", "-", stdin=done.out.encode()).code == 0


def test_maps_go_to_stderr(tree, run_cli):
    plain = run_cli("ask", COMPASS, "--json", "--no-answer")
    drawn = run_cli("ask", COMPASS, "--json", "--no-answer", "--show-focus")
    assert without_times(drawn.json) == without_times(plain.json)
    assert drawn.err.count("Refocus ") == len(plain.json["focus"]["iterations"]) > 0
    assert "The cover that refocusing starts from" in drawn.err


def test_asking_counts_access(tree, run_cli):
    result = run_cli("ask", COMPASS, "--json", "--no-answer").json
    access = run_cli("inspect", "--json").json["access"]
    assert access["expanded"] == sum(step["expanded"] for step in result["focus"]["iterations"])
    assert access["collapsed"] == sum(step["collapsed"] for step in result["focus"]["iterations"])
    assert access["cited"] == sum(entry["lod"] == 0 for entry in result["focus"]["entries"])


def test_an_index_that_was_lost_is_told_and_the_next_ingest_stores_it(tree, run_cli):
    whole = without_times(run_cli("ask", COMPASS, "--json", "--no-answer").json)
    shutil.rmtree(tree / "lexical")
    told = run_cli("verify")
    assert told.code == 4
    assert "lexical: lexical index: it does not belong" in told.out
    done = run_cli("ask", COMPASS, "--json", "--no-answer")
    assert without_times(done.json) == whole
    assert "the next ingest will store it" in done.err
    assert run_cli("ingest", ".").code == 0
    assert run_cli("verify").code == 0
    assert run_cli("ask", COMPASS, "--json", "--no-answer").err == ""


def test_focus_alone_does_not_import_torch(tree):
    code = (
        "import sys\nfrom mctool.cli import main\n"
        f"code = main(['ask', {COMPASS!r}, '--no-answer', '--json', '-t', {str(tree)!r}])\n"
        "sys.exit([name for name in ('torch', 'transformers') if name in sys.modules] or code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
