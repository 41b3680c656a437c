import json
import random

import pytest


@pytest.fixture
def texts(project):
    rng = random.Random(0)
    words = ["harbour", "storm", "keeper", "letter", "lantern", "oil", "boat"]
    records = [{"id": f"r{i}", "text": " ".join(rng.choices(words, k=1500))} for i in range(50)]
    path = project / "code-notes.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_trained_net_is_used_and_measured(run_cli, project, texts, monkeypatch):
    options = ("--stage", "content=2steps", "--stage", "reading=2steps@1e-4", "--windows", "2")
    done = run_cli("train", "gist", texts, "--out", "run", *options, "--json")
    assert done.code == 0, done.err
    first, *_, last = done.json["curve"]
    assert first["tokens"] == 0
    assert 0 <= last["rebuilt"] <= 1
    assert last["tokens"] > 2048
    monkeypatch.setenv("MCTOOL_WEIGHTS", "run")
    again = run_cli("train", "gist", texts, "--out", "run", *options, "--resume")
    assert again.code == 0, again.err
    assert "rebuilt" in again.out
    options = ("--split", "dev", "--windows", "1", "--n-blocks", "2", "--lod", "1")
    measured = run_cli("evaluate", "substitution", "--data", texts, *options, "--json")
    assert measured.code == 0, measured.err
    assert {row["variant"] for row in measured.json["rows"]} == {"full", "drop", "mean", "rarest", "gist", "wrong"}
    apart = run_cli("train", "degist", texts, "--out", "apart", "--steps", "2", "--json")
    assert apart.code == 0, apart.err
    assert run_cli("ingest", texts, "--tree", "t").code == 0


@pytest.mark.parametrize(
    ("stage", "said"),
    [("poem=3", "poem is not one of"), ("content", "not understood"), ("content=x@y", "not understood"),
     ("content=0", "has no end")],
)  # fmt: skip
def test_bad_stages_are_told(run_cli, texts, stage, said):
    done = run_cli("train", "gist", texts, "--out", "run", "--stage", stage)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
