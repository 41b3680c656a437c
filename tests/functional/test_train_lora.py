import json

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

STORY = "The harbour master of Ulm is Anna Berg. " + "She counts the boats and writes the number down. " * 12


@pytest.fixture
def data(project):
    path = project / "towns.jsonl"
    start = STORY.index("Anna Berg")
    question = {"answer": "Anna Berg", "start": start, "end": start + 9}
    asked = []
    for n in range(30):
        town = f"{chr(65 + n // 5)}l{chr(97 + n % 5)}"
        asked.append(
            {
                "id": f"town-{n}",
                "text": STORY.replace("Ulm", town),
                "questions": [{"q": f"Who is the harbour master of {town}?", **question}],
            }
        )
    plain = [{"id": f"plain-{n}", "text": STORY * 6} for n in range(3)]
    path.write_text("".join(json.dumps(record) + "\n" for record in asked))
    plain_path = project / "plain.jsonl"
    plain_path.write_text("".join(json.dumps(record) + "\n" for record in plain))
    return [path, plain_path]


def train(run_cli, data, *options):
    return run_cli("train", "lora", *data, "--out", "run", "--batch-tokens", 600, "--rows", 8, *options)


def test_an_adapter_with_card_comes_out_and_is_used(run_cli, data, project, monkeypatch, tiny_model_dir):
    done = train(run_cli, data, "--steps", 2, "--json")
    assert done.code == 0, done.err
    folder = project / "run" / "adapter"
    assert done.json["adapter"] == "run/adapter"
    assert set(done.json["after"]) >= {"nll_short", "nll_silence", "exact_short"}
    card = json.loads((folder / "card.json").read_text())
    assert card["model"] == tiny_model_dir.name
    assert card["trained_questions"] > 0
    assert set(card["silence"]) == {"short", "long", "code"}

    weights = project / "weights" / tiny_model_dir.name
    weights.mkdir(parents=True)
    folder.rename(weights / "lora")
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(project / "weights"))
    (project / "a.txt").write_text(STORY)
    assert run_cli("ingest", "a.txt").code == 0
    assert run_cli("ask", "Who is the harbour master of Ulm?", "--json").code == 0


def test_a_run_goes_on_with_its_rows(run_cli, data, project):
    assert train(run_cli, data, "--steps", 2).code == 0
    n_rows = len((project / "run" / "rows.jsonl").read_text().splitlines())
    made = (project / "run" / "rows.jsonl").stat().st_mtime_ns
    for path in data:
        path.unlink()
    resumed = train(run_cli, data, "--steps", 4, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert f"using the {n_rows} rows in run" in resumed.err
    assert (project / "run" / "rows.jsonl").stat().st_mtime_ns == made
    steps = [json.loads(line)["step"] for line in (project / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 4


def test_rows_of_other_settings_are_not_mixed_in(run_cli, data):
    assert train(run_cli, data, "--steps", 1).code == 0
    refused = train(run_cli, data, "--steps", 1, "--seed", 3)
    assert refused.code == 5
    assert "--out" in refused.err


def test_rows_of_other_data_of_the_same_name_are_not_used(run_cli, data, project):
    assert train(run_cli, data, "--steps", 1).code == 0
    data[0].write_text(data[0].read_text().replace("boats", "ships"))
    refused = train(run_cli, data, "--steps", 1)
    assert refused.code == 5
    assert "other data" in refused.err
    recipe = project / "run" / "rows.json"
    known = json.loads(recipe.read_text())
    recipe.write_text(json.dumps({name: value for name, value in known.items() if name != "files"}))
    assert train(run_cli, data, "--steps", 1).code == 0  # an earlier version noted names alone


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 2, "--minutes or --steps"),
        (["--steps", "1", "--resume"], 5, "--resume"),
        (["--steps", "1", "--rank", "0"], 2, "--rank"),
        (["--steps", "1", "--text-share", "1"], 2, "--text-share"),
    ],
)
def test_bad_settings_are_refused_in_one_line(run_cli, data, options, code, said):
    refused = train(run_cli, data, *options)
    assert refused.code == code
    assert said in refused.err
    assert refused.err.count("\n") == 1


def test_data_without_questions_is_refused(run_cli, data):
    refused = train(run_cli, data[1:], "--steps", 1)
    assert refused.code == 2
    assert "question" in refused.err


def test_missing_data_is_refused(run_cli, project):
    refused = train(run_cli, [project / "none.jsonl"], "--steps", 1)
    assert refused.code == 6
