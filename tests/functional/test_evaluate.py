"""``mctool evaluate`` through the program, with the tiny model."""

import json
import random

import pytest


@pytest.fixture
def data(project):
    rng = random.Random(1)
    path = project / "facts.jsonl"
    with path.open("w") as file:
        for number in range(3):
            text = " ".join(rng.choices(["harbour", "storm", "keeper", "letter", "winter", "copper"], k=400))
            question = {"q": f"Where is zeta{number}?", "start": len(text) + 1, "end": len(text) + 6}
            record = {"id": number, "text": f"{text} zeta{number} is here.", "questions": [question]}
            file.write(json.dumps(record) + "\n")
    return path


def test_focus(data, run_cli):
    done = run_cli("evaluate", "focus", "--data", data, "--no-minilm", "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"rows", "sets"}
    row = done.json["rows"][0]
    assert set(row) >= {"set", "signal", "budget", "recall", "se", "n"}
    assert (row["set"], row["signal"], row["budget"], row["n"]) == ("facts", "mctool lexical", 128, 3)
    assert "a tree of" in done.err


def test_focus_for_people(data, run_cli):
    done = run_cli("evaluate", "focus", "--data", data, "--no-minilm", "--quiet", "--questions", 2)
    assert done.code == 0, done.err
    assert done.out.startswith("facts: 2 questions, 1 trees")
    assert "chunks bm25" in done.out
    assert not done.err


def test_several_files_after_data(data, run_cli):
    done = run_cli("evaluate", "focus", "--data", data, data, "--no-minilm", "--json", "-q")
    assert done.json["sets"][0]["questions"] == 6
    assert run_cli("evaluate", "focus", data).code == 2


def test_substitution(data, run_cli):
    done = run_cli("evaluate", "substitution", "--data", data, "--windows", 2, "--n-blocks", 4, "--lod", 1, "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"rows", "content", "harm"}
    assert {row["variant"] for row in done.json["rows"]} == {"full", "drop", "mean", "rarest", "gist", "wrong"}


def test_speed_of_help(project, run_cli):
    done = run_cli("evaluate", "speed", "--part", "help", "--json")
    assert done.code == 0, done.err
    first, second = done.json["rows"]
    assert (first["system"], first["ratio"]) == ("python -c pass", None)
    assert second["ratio"] == pytest.approx(second["value"] / first["value"])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["focus", "--questions", "0"], 2, "--questions 0 is not positive"),
        (["focus", "--seed", "-1"], 2, "--seed -1 is negative"),
        (["focus", "--data", "missing.jsonl"], 6, "missing.jsonl"),
        (["speed", "--part", "cook"], 2, "--part cook"),
        (["substitution", "--domain", "poem"], 2, "--domain poem"),
    ],
)
def test_bad_input_is_refused(project, run_cli, arguments, code, told):
    done = run_cli("evaluate", *arguments)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
