import json
import random

import numpy as np
import pytest
from tiny_keys import write_tiny_key_encoder

from mctool.app.evaluate.sets import Listener, chosen_sets
from mctool.app.evaluate.walk import WalkConfig, evaluate_walk
from mctool.app.evaluate.walk_pack import large_pack
from mctool.core.errors import UsageError
from mctool.render.walk import walk_tables

WORDS = ["harbour", "lantern", "storm", "keeper", "letter", "bridge", "orchard", "violin", "winter", "copper", "mirror"]


def write_records(path, n_records, n_facts):
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(n_records):
            text, questions = "", []
            for fact in range(n_facts):
                name = f"zeta{number}x{fact}"
                text += f"{' '.join(rng.choices(WORDS, k=30))}. The {name} is "
                questions.append({"q": f"What is {name}?", "start": len(text), "end": len(text) + 4})
                text += f"blue{fact}. "
            text += " ".join(rng.choices(WORDS, k=100))
            file.write(json.dumps({"id": f"r{number}", "text": text, "questions": questions}) + "\n")
    return path


@pytest.fixture
def files(tmp_path):
    return write_records(tmp_path / "facts.jsonl", 4, 10), write_records(tmp_path / "plain.jsonl", 30, 0)


@pytest.fixture
def nets(tmp_path, monkeypatch):
    root = tmp_path / "nets"
    root.mkdir()
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(root))
    return root


def encode(text):
    return np.arange(len(text), dtype=np.uint32), np.arange(len(text))


def test_half_of_the_tree_is_asked_about_and_the_rest_is_other_text(files):
    sets = chosen_sets(files, ())
    assert list(sets) == ["facts", "plain"]
    size = sum(len(one.documents[0].text) for one in sets["facts"])
    small = large_pack(sets, encode, size, 7, "all", 0)
    assert size / 2 < small.n_tokens <= size
    assert {name: len(asked) for name, asked in small.questions.items()} == {"facts": 7}
    n_facts = sum("facts" in document.path or "zeta" in document.text for document in small.documents)
    assert 1 <= n_facts <= 2
    for question in small.questions["facts"]:
        assert small.documents[question.document].text[question.start : question.end].startswith("blue")
    whole = large_pack(sets, encode, 10**9, 1000, "all", 0)
    assert (len(whole.documents), len(whole.questions["facts"])) == (34, 40)
    assert [one.path for one in small.documents] == [
        one.path for one in large_pack(sets, encode, size, 7, "all", 0).documents
    ]


def test_records_that_are_not_asked_about_come_last(files):
    sets = chosen_sets(files[:1], ())
    asked = large_pack(sets, encode, 10**9, 1000, "train", 0).questions.get("facts", [])
    others = large_pack(sets, encode, 10**9, 1000, "dev", 0)
    assert len(asked) + len(others.questions.get("facts", [])) == 40
    assert len(others.documents) == 4


def test_the_walk_is_measured_beside_all_keys(files, nets, tiny_model_dir):
    write_tiny_key_encoder(nets)
    told, done = [], []
    config = WalkConfig(files, questions=6, budgets=(64, 256), model=str(tiny_model_dir))
    result = evaluate_walk(config, Listener(lambda *counts: done.append(counts), told.append))
    assert done[-1] == (12, 12)
    assert [(row.lens, row.budget) for row in result.rows] == [
        (lens, budget) for lens in ("hybrid", "keys alone") for budget in (64, 256)
    ]
    for row in result.rows:
        assert 0 <= row.read <= 0.08
        assert row.difference == pytest.approx(row.walk - row.flat)
        assert row.n == 6
        assert min(row.flat_seconds, row.walk_seconds) > 0
    assert result.rows[1].flat > 0.5
    assert result.documents == 34
    tables = walk_tables(result.to_json())
    assert [table.row_count for table in tables] == [3, 3]
    assert "the walk reads" in tables[0].title


def test_files_of_one_name_are_all_read(files, nets, tiny_model_dir, tmp_path):
    write_tiny_key_encoder(nets)
    (tmp_path / "more").mkdir()
    more = write_records(tmp_path / "more" / "facts.jsonl", 3, 2)
    config = WalkConfig((files[0], more), questions=1, budgets=(64,), model=str(tiny_model_dir))
    result = evaluate_walk(config)
    assert (result.documents, {row.set for row in result.rows}) == (7, {"facts"})


def test_without_questions_or_an_encoder_there_is_nothing_to_measure(files, nets, tiny_model_dir):
    config = WalkConfig(files[1:], model=str(tiny_model_dir))
    with pytest.raises(UsageError, match="key encoder"):
        evaluate_walk(config)
    write_tiny_key_encoder(nets)
    with pytest.raises(UsageError, match="no questions"):
        evaluate_walk(config)


def test_nonsense_is_refused():
    for changes in ({"tree_tokens": 0}, {"questions": 0}, {"budgets": (0,)}, {"split": "other"}):
        with pytest.raises(UsageError):
            WalkConfig(**changes)
