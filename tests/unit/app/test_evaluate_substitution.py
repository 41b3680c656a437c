import json
import random

import pytest

from mctool.app.evaluate.substitution import SubstitutionRun, domain_of, evaluate_substitution
from mctool.core.errors import MissingBackendError, UsageError
from mctool.engine.substitution import SubstitutionConfig


@pytest.fixture
def data(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "code-notes.jsonl"
    texts = [" ".join(rng.choices(["harbour", "storm", "keeper", "letter"], k=400)) for _ in range(3)]
    path.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)))
    return path


def run_of(data, tiny_model_dir, **changes):
    measure = SubstitutionConfig(n_blocks=(4,), n_windows=2, lods=(1,))
    return SubstitutionRun((data,), measure=measure, model=str(tiny_model_dir), device="cpu", **changes)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("code-train-python", "code"),
        ("books-train-novels", "narrative"),
        ("books-train-mixed", "expository"),
        ("SQuAD 2.0", "expository"),
    ],
)
def test_names_tell_domains(name, domain):
    assert domain_of(name) == domain


def test_every_variant_is_measured(data, tiny_model_dir, tiny_weights, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
    told = []
    result = evaluate_substitution(run_of(data, tiny_model_dir), lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
    assert {(row.domain, row.horizon, row.n) for row in result.rows} == {("code", 128, 2)}
    assert len(result.rows) == 12
    assert [(row.lod, row.n_blocks) for row in result.harm] == [(1, 4)]


def test_the_domain_can_be_given(data, tiny_model_dir, tiny_weights, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
    result = evaluate_substitution(run_of(data, tiny_model_dir, domain="narrative"))
    assert {row.domain for row in result.rows} == {"narrative"}
    with pytest.raises(UsageError, match="--domain poem is not one of"):
        run_of(data, tiny_model_dir, domain="poem")


def test_a_model_without_a_net_is_told(data, tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingBackendError, match="no GistNet"):
        evaluate_substitution(run_of(data, tiny_model_dir))


def test_short_texts_are_refused(tmp_path, tiny_model_dir, tiny_weights, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
    path = tmp_path / "short.jsonl"
    path.write_text('{"id": 1, "text": "short"}\n')
    with pytest.raises(UsageError, match="two documents"):
        evaluate_substitution(run_of(path, tiny_model_dir))
