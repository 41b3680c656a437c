import json
import random

import numpy as np
import pytest
from tiny_keys import write_tiny_key_encoder

from mctool.app.evaluate import focus as focus_module
from mctool.app.evaluate.focus import FocusEvaluationConfig, evaluate_focus
from mctool.app.evaluate.sets import Listener
from mctool.app.evaluate.signals import OrderRanking, fuse
from mctool.core.errors import UsageError

WORDS = ["harbour", "lantern", "storm", "keeper", "letter", "bridge", "orchard", "violin", "winter", "copper", "mirror"]


@pytest.fixture
def data(tmp_path):
    """Two records; each fact names a word that stands nowhere else in its line's neighbourhood."""
    rng = random.Random(0)
    path = tmp_path / "facts.jsonl"
    with path.open("w") as file:
        for number in range(2):
            text, questions = "", []
            for fact in range(40):
                name = f"zeta{number}x{fact}"
                text += f"{' '.join(rng.choices(WORDS, k=30))}. The {name} is "
                start = len(text)
                text += f"blue{fact}. "
                questions.append({"q": f"What is {name}?", "answer": "", "start": start, "end": start + 4})
            file.write(json.dumps({"id": f"r{number}", "text": text, "questions": questions}) + "\n")
    return path


@pytest.fixture(autouse=True)
def nets(tmp_path, monkeypatch):
    """A directory of nets without a key encoder."""
    root = tmp_path / "nets"
    root.mkdir()
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(root))
    return root


def config(data, tiny_model_dir, **changes):
    fields = {"data": (data,), "model": str(tiny_model_dir), "minilm": False, "budgets": (64, 256), "questions": 30}
    return FocusEvaluationConfig(**(fields | changes))


def test_lexical_signals_find_named_facts_and_random_does_not(data, tiny_model_dir):
    told = []
    result = evaluate_focus(config(data, tiny_model_dir), Listener(lambda *done: told.append(done)))
    assert told[-1] == (30, 30)
    assert [(one.set, one.trees, one.questions) for one in result.sets] == [("facts", 1, 30)]
    rows = {(row.signal, row.budget): row for row in result.rows}
    assert {signal for signal, _ in rows} == {"mctool lexical", "chunks bm25", "blocks bm25", "recency", "random"}
    best = rows["mctool lexical", 256]
    assert best.recall > 0.9 > 0.3 > rows["random", 256].recall
    assert best.se == pytest.approx(np.sqrt(best.recall * (1 - best.recall) / 30))
    assert best.mrr > rows["random", 256].mrr
    assert best.recall >= rows["mctool lexical", 64].recall
    assert rows["chunks bm25", 64].recall == 0  # a chunk of 128 tokens does not fit


def test_with_a_key_encoder_there_are_rows_for_the_hybrid_lens_and_for_keys_alone(data, tiny_model_dir, nets):
    write_tiny_key_encoder(nets)
    told = []
    result = evaluate_focus(config(data, tiny_model_dir, questions=10), Listener(report=told.append))
    rows = {(row.signal, row.budget): row for row in result.rows}
    names = list(dict.fromkeys(signal for signal, _ in rows))
    assert names[:5] == ["mctool hybrid", "mctool lexical", "fixed mix", "keys", "chunks bm25"]
    assert rows["mctool hybrid", 256].mrr > rows["random", 256].mrr
    assert rows["mctool hybrid", 256].mrr != rows["mctool lexical", 256].mrr != rows["keys", 256].mrr
    assert not any("rekey" in line for line in told)


def test_the_same_seed_gives_the_same_recall(data, tiny_model_dir):
    first, again, other = (
        [(row.signal, row.budget, row.recall, row.mrr) for row in evaluate_focus(one).rows]
        for one in (config(data, tiny_model_dir, seed=seed, questions=20) for seed in (3, 3, 4))
    )
    assert first == again != other


def test_questions_are_limited_by_tree_and_by_set(data, tiny_model_dir):
    result = evaluate_focus(config(data, tiny_model_dir, tree_tokens=1, per_tree=3, questions=5))
    assert [(one.trees, one.questions) for one in result.sets] == [(2, 5)]


def test_an_unknown_set_is_refused(data, tiny_model_dir):
    with pytest.raises(UsageError, match="fits no set; there are: facts"):
        evaluate_focus(config(data, tiny_model_dir, sets=("other",)))


def test_a_set_without_questions_is_refused(tmp_path, tiny_model_dir):
    path = tmp_path / "plain.jsonl"
    path.write_text('{"id": "a", "text": "words"}\n')
    with pytest.raises(UsageError, match="plain has no questions"):
        evaluate_focus(config(path, tiny_model_dir))


@pytest.mark.parametrize("field", ["tree_tokens", "per_tree", "questions"])
def test_nonsense_is_refused(field):
    with pytest.raises(UsageError, match="is not positive"):
        FocusEvaluationConfig(**{field: 0})
    with pytest.raises(UsageError, match="budgets"):
        FocusEvaluationConfig(budgets=(0,))


class Encoder:
    """Vectors by the letters of a text."""

    def embed(self, texts):
        counts = np.array([[text.count(chr(letter)) + 1 for letter in range(97, 123)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_an_encoder_adds_its_own_signal_and_the_fusion(data, tiny_model_dir, monkeypatch):
    monkeypatch.setattr(focus_module, "load_minilm", Encoder)
    result = evaluate_focus(config(data, tiny_model_dir, minilm=True, questions=10))
    assert {"chunks minilm", "chunks hybrid"} < {row.signal for row in result.rows}


def test_overlapping_units_count_once():
    ranking = OrderRanking([np.array([2, 3]), np.array([1, 2]), np.array([0, 1])], np.array([10, 10, 10, 5]))
    assert ranking.order().tolist() == [2, 3, 1, 0]
    assert ranking.shown(14).tolist() == []
    assert ranking.shown(15).tolist() == [2, 3]
    assert ranking.shown(25).tolist() == [1, 2, 3]
    assert ranking.shown(99).tolist() == [0, 1, 2, 3]


def test_fusion_adds_reciprocal_ranks():
    fused = fuse(np.array([3.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0]))
    assert fused == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 62, 1 / 61])
