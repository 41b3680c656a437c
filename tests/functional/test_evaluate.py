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
    assert set(done.json) == {"rows", "sets", "thirds", "loops"}
    row = done.json["rows"][0]
    assert set(row) >= {"set", "signal", "budget", "recall", "se", "n"}
    (loop,) = done.json["loops"]
    assert (loop["set"], loop["lens"], loop["n"], loop["net_seconds"]) == ("facts", "lexical", 3, None)
    assert loop["converged"] == loop["recall"] == 1
    lexical = [one for one in done.json["thirds"] if one["signal"] == "mctool lexical"]
    assert [(one["third"], one["n"], one["budget"]) for one in lexical] == [
        ("lowest", 1, 512),
        ("middle", 1, 512),
        ("highest", 1, 512),
    ]
    assert (row["set"], row["signal"], row["budget"], row["n"]) == ("facts", "mctool lexical", 128, 3)
    assert "a tree of" in done.err


def test_focus_for_people(data, run_cli):
    done = run_cli("evaluate", "focus", "--data", data, "--no-minilm", "--quiet", "--questions", 2)
    assert done.code == 0, done.err
    assert done.out.startswith("facts: 2 questions, 1 trees")
    assert "chunks bm25" in done.out
    assert "facts: share of answers in 512 raw tokens, by the share of the question's words" in done.out
    assert "facts: 2 questions, lexical lens" in done.out
    assert "came to rest" in done.out
    assert "at least .95" in done.out
    assert not done.err


ROW_FIELDS = {
    "system", "f1", "em", "nll", "refused", "false_refused", "tokens_read", "first_token_s", "n", "set", "adapter",
}  # fmt: skip


@pytest.fixture
def answered(data):
    """The facts with answers, and a question that none of them answers."""
    records = [json.loads(line) for line in data.read_text().splitlines()]
    for record in records:
        (question,) = record["questions"]
        question["answer"] = record["text"][question["start"] : question["end"]]
    records[0]["unanswerable"] = ["Where is Gryzwald?"]
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    return data


def test_answers(answered, run_cli):
    arguments = ("evaluate", "answers", "--data", answered, "--no-minilm", "--max-new-tokens", 4, "--questions", 2)
    done = run_cli(*arguments, "--system", "ask", "--system", "oracle", "--details", "details.jsonl", "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"rows", "sets", "model", "adapter"}
    ask, oracle = done.json["rows"]
    assert set(ask) > ROW_FIELDS
    assert (ask["system"], ask["set"], ask["n"], ask["refused"]) == ("ask (no adapter)", "facts", 2, 1.0)
    assert (oracle["system"], oracle["refused"]) == ("oracle (no adapter)", None)
    assert "there is no adapter for" in done.err
    assert len((answered.parent / "details.jsonl").read_text().splitlines()) == 3 + 2


def test_answers_with_gists_in_the_window(answered, run_cli):
    arguments = ("evaluate", "answers", "--data", answered, "--no-minilm", "--max-new-tokens", 4, "--questions", 2)
    done = run_cli(*arguments, "--system", "ask", "--system", "ask +2 gists", "--window-gists", 2, "--json")
    assert done.code == 0, done.err
    without, with_gists = done.json["rows"]
    assert with_gists["system"] == "ask +2 gists"
    assert without["tokens_read"] < with_gists["tokens_read"] <= without["tokens_read"] + 2


def test_answers_for_people(answered, run_cli):
    done = run_cli("evaluate", "answers", "--data", answered, "--system", "no text", "--max-new-tokens", 2, "--quiet")
    assert done.code == 0, done.err
    assert done.out.startswith("facts: 3 questions with an answer, 1 adversarial and 0 foreign ones without, 1 trees")
    assert "no text (no adapter)" in done.out
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


NEEDLE = ("evaluate", "needle", "--tokens", 500, "--depth", 0, "--depth", 100, "--samples", 1, "--max-new-tokens", 2)


def test_needle(data, run_cli):
    done = run_cli(*NEEDLE, "--data", data, "--kind", "pass-key", "--json")
    assert done.code == 0, done.err
    first, last = done.json["rows"]
    assert set(first) > {"tokens", "depth", "opened", "correct"}
    assert (first["tokens"], first["depth"], last["depth"], first["opened"], first["kind"]) == (
        500,
        0,
        100,
        1,
        "pass-key",
    )
    assert "2 needles" in done.err


def test_needle_for_people(data, run_cli):
    done = run_cli(*NEEDLE, "--data", data, "--kind", "fact", "--kind", "tracking", "--quiet")
    assert done.code == 0, done.err
    assert done.out.startswith("fact: 0 % answered right, 100 % opened, 2 needles in facts")
    assert "tracking: " in done.out
    assert not done.err


SPEED_ROWS = {"rows": [{"measure": "m", "system": "s", "value": 1.0, "unit": "s", "ratio": None, "baseline": None}]}


def test_saved_figures_are_shown_as_when_they_were_measured(data, run_cli):
    commands = (("focus", "--data", data, "--no-minilm"), (*NEEDLE[1:], "--data", data, "--kind", "fact"))
    for command in commands:
        measured = run_cli("evaluate", *command, "--json")
        shown = run_cli("evaluate", "show", "-", stdin=measured.out.encode())
        assert shown.code == 0, shown.err
        name = "facts: 3 questions" if command[0] == "focus" else "fact: 0 % answered right"
        assert shown.out.startswith(name)
    done = run_cli("evaluate", "show", "-", stdin=json.dumps(SPEED_ROWS).encode())
    assert done.out.startswith("speed")


def test_saved_figures_become_a_picture(project, run_cli):
    pytest.importorskip("matplotlib")
    (project / "speed.json").write_text(json.dumps(SPEED_ROWS))
    assert run_cli("evaluate", "show", "speed.json", "--plot", "speed.svg").code == 0
    assert (project / "speed.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not JSON", "is not JSON"),
        ("[]", "holds no figures"),
        ('{"rows": []}', "holds no figures"),
        ('{"rows": [{"signal": "x"}]}', "holds no figures"),
        ('{"rows": 3}', "holds no figures"),
    ],
)
def test_what_holds_no_figures_is_refused(project, run_cli, text, told):
    (project / "f.json").write_text(text)
    done = run_cli("evaluate", "show", "f.json")
    assert (done.code, done.out, done.err.count("\n")) == (6, "", 1)
    assert told in done.err
    assert run_cli("evaluate", "show", "missing.json").code == 6


def test_speed_of_help(project, run_cli):
    done = run_cli("evaluate", "speed", "--part", "help", "--json")
    assert done.code == 0, done.err
    first, second = done.json["rows"]
    assert (first["system"], first["ratio"]) == ("python -c pass", None)
    assert second["ratio"] == pytest.approx(second["value"] / first["value"])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["answers", "--split", "test"], 2, "--split test is not one of dev, train, all"),
        (["answers", "--system", "magic"], 2, "--system magic fits no system"),
        (["answers", "--adapter", ".", "--no-lora"], 2, "--adapter and --no-lora exclude each other"),
        (["answers", "--adapter", "missing"], 5, "card.json cannot be read"),
        (["answers", "--max-new-tokens", "0"], 2, "--max-new-tokens 0 is not positive"),
        (["answers", "--details", "missing/d.jsonl"], 9, "cannot write --details"),
        (["focus", "--questions", "0"], 2, "--questions 0 is not positive"),
        (["focus", "--seed", "-1"], 2, "--seed -1 is negative"),
        (["focus", "--data", "missing.jsonl"], 6, "missing.jsonl"),
        (["needle", "--kind", "pin"], 2, "--kind pin is not one of"),
        (["needle", "--tokens", "0"], 2, "--tokens 0 is not positive"),
        (["focus", "--data", "/dev/null"], 2, "/dev/null holds no records"),
        (["speed", "--part", "cook"], 2, "--part cook"),
        (["substitution", "--domain", "poem"], 2, "--domain poem"),
    ],
)
def test_bad_input_is_refused(project, run_cli, arguments, code, told):
    done = run_cli("evaluate", *arguments)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_a_plot_that_cannot_be_is_refused_before_measuring(project, run_cli):
    for command in ("focus", "answers", "needle", "speed"):
        done = run_cli("evaluate", command, "--plot", "plot.gif")
        assert (done.code, done.out) == (2, "")
        assert "neither a .png nor a .svg" in done.err


def test_the_curve_of_a_training_is_shown_and_drawn(run_cli, project):
    point = {
        "tokens": 1e6,
        "r_lod1": 0.2,
        "r_lod1_se": 0.02,
        "content_lod1": 0.05,
        "content_lod1_se": 0.01,
        "rebuilt": 0.1,
    }
    (project / "card.json").write_text(json.dumps({"curve": [{"tokens": 0, "rebuilt": 0.04}, point]}))
    done = run_cli("evaluate", "show", "card.json", "--plot", "curve.svg")
    assert done.code == 0, done.err
    assert "1,000,000" in done.out
    assert "0.050 ±0.010" in done.out
    assert "million tokens" in (project / "curve.svg").read_text()


def test_figures_of_the_walk_are_shown_and_it_takes_no_picture(run_cli, project):
    row = {"set": "facts", "flat": 0.5, "walk": 0.5, "difference": 0.0, "se": 0.0, "n": 4, "read": 0.08}
    row |= {"flat_seconds": 0.1, "walk_seconds": 0.02}
    rows = [row | {"lens": lens, "budget": budget} for lens in ("hybrid", "keys alone") for budget in (128, 256)]
    figures = {"rows": rows, "tokens": 5_000_000, "blocks": 160_000, "documents": 9}
    shown = run_cli("evaluate", "show", "-", stdin=json.dumps(figures).encode())
    assert shown.code == 0, shown.err
    assert shown.out.startswith(
        "facts, hybrid: 4 questions, a tree of 5,000,000 tokens; the walk reads 8.0% of the nodes"
    )
    for arguments in (("--plot", "walk.svg"), ("--set", "facts")):
        refused = run_cli("evaluate", "focus", "--walk", *arguments)
        assert refused.code == 2
        assert "--walk takes neither" in refused.err
