import json

import numpy as np
import pytest
from tiny_keys import WORDS, write_tiny_key_encoder

from mctool.core.errors import UsageError
from mctool.nets.key_weights import load_key_net
from mctool.nets.reranker import RerankerConfig
from mctool.nets.reranker_weights import CARD_FILE, load_reranker
from mctool.sources.corpus import Question, Sample, SampleDocument, in_dev_split, in_scorer_split
from mctool.training.reranker import RerankerTraining, train_reranker
from mctool.training.reranker_data import FunctionCorpus, RerankShape

CONFIG = RerankerConfig(layers=1, rank=4, text_pieces=40)
THINGS = [word for word in WORDS if len(word) > 3]


def function(name, docstring=""):
    told = f'    """{docstring}"""\n' if docstring else ""
    return f"def {name}(a):\n{told}    b = a\n    c = b\n    d = c\n    return {name!r}, d\n\n\n"


def make_sample(number):
    """A package of two files: for the functions of one there are questions, those of the other have docstrings."""
    rng = np.random.default_rng(number)
    names = [f"{a}_{b}" for a, b in (rng.choice(THINGS, 2, replace=False) for _ in range(8))]
    names = list(dict.fromkeys(names))
    texts = [
        "".join(map(function, names)),
        "".join(function(f"{name}_now", f"It is the {name.replace('_', ' of the ')}.") for name in names),
    ]
    questions = [
        Question(
            f"the {name.replace('_', ' in the ')}",
            0,
            (start := texts[0].index(f"def {name}(")) + 5,
            start + 9,
            True,
            f"a.py:{name}",
            def_start=start,
        )
        for name in names
    ]
    return Sample(f"package-{number}", [SampleDocument("a.py", texts[0]), SampleDocument("b.py", texts[1])], questions)


def vectors(texts, _asked):
    counts = np.array([[text.count(word) for word in THINGS] for text in texts], np.float32)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)


@pytest.fixture
def corpus():
    return FunctionCorpus([make_sample(number) for number in range(3)], vectors)


def test_questions_come_from_records_and_from_docstrings():
    sample = make_sample(0)
    corpus = FunctionCorpus([sample], vectors)
    asked = dict(corpus.lists(99, 4, np.random.default_rng(0)))
    of_docstrings = {question for question in asked if question.startswith("It is")}
    assert asked.keys() - of_docstrings == {question.text for question in sample.questions}
    assert len(of_docstrings) == len(sample.questions)
    assert corpus.n_questions == len(asked)
    for question, functions in asked.items():
        (name, text), *others = functions.items()
        assert len(others) == 3
        thing = name.rpartition(":")[2].removesuffix("_now")
        assert all(word in question for word in thing.split("_"))
        assert '"""' not in text
        assert text.startswith("def ")
        assert "    b = a\n" in text


def test_a_batch_is_of_one_package_and_what_is_asked_for_is_bare(corpus):
    rng = np.random.default_rng(0)
    for _ in range(20):
        batch = corpus.draw(RerankShape(questions=4, misleading=2, documented=0.0), rng)
        assert len(batch.questions) == len(batch.wanted) == 4
        assert 4 <= len(batch.texts) <= 12
        assert len(set(batch.texts)) == len(batch.texts)
        assert batch.spared.shape == (4, len(batch.texts))
        assert not batch.spared.any()
        assert all('"""' not in text for text in batch.texts)


def test_some_batches_ask_for_documented_functions_which_may_show_it(corpus):
    rng = np.random.default_rng(0)
    shown = []
    for _ in range(20):
        batch = corpus.draw(RerankShape(questions=4, misleading=2, documented=1.0, kept=0.5), rng)
        assert all(question.startswith("It is") for question in batch.questions)
        shown += [question in batch.texts[place] for question, place in zip(batch.questions, batch.wanted, strict=True)]
    assert 0.3 < np.mean(shown) < 0.7
    whole = corpus.draw(RerankShape(questions=4, misleading=2, documented=1.0, kept=1.0), rng)
    assert all(
        f'"""{question}' in whole.texts[place] for question, place in zip(whole.questions, whole.wanted, strict=True)
    )


def test_documented_functions_are_listed_with_their_docstrings(corpus):
    for question, functions in corpus.lists(99, 4, np.random.default_rng(0), documented=True):
        wanted, *_ = functions.values()
        assert question.startswith("It is")
        assert f'"""{question}' in wanted


def test_part_and_whole_are_not_held_against_each_other():
    text = "class Ship:\n" + "".join(
        f"    {line}\n" for line in function("sail", "It brings the ship home again.").splitlines()
    )
    sample = Sample("one", [SampleDocument("a.py", text)])
    corpus = FunctionCorpus([sample], vectors)
    batch = corpus.draw(RerankShape(1, 3), np.random.default_rng(0))
    assert [text.partition("\n")[0] for text in batch.texts] == ["a.py:Ship.sail", "a.py:Ship"]
    assert batch.spared.tolist() == [[False, True]]
    ((_, functions),) = corpus.lists(9, 1, np.random.default_rng(0))
    assert list(functions) == ["a.py:Ship.sail"]


def test_what_is_asked_for_twice_and_what_is_no_python_makes_no_question():
    same = "".join(function(name, "It says the very same thing.") for name in ("one", "two"))
    with pytest.raises(UsageError, match="no question that asks for a function"):
        FunctionCorpus(
            [Sample("one", [SampleDocument("a.py", same), SampleDocument("b.go", "func main() {\n")])], vectors
        )


def test_it_learns_which_function_is_meant(tmp_path):
    encoder = write_tiny_key_encoder(tmp_path)
    samples = [make_sample(number) for number in range(30)]
    assert {(in_dev_split(sample), in_scorer_split(sample)) for sample in samples} == {(0, 0), (0, 1), (1, 0)}
    lines = []
    training = RerankerTraining(steps=60, learning_rate=5e-3, config=CONFIG, checkpoint_minutes=0)
    card = train_reranker(training, {"code": samples}, encoder, encoder, "cpu", lines.append)
    assert [line["step"] for line in lines] == list(range(1, 61))
    first, last = (np.mean([line["loss"] for line in part]) for part in (lines[:10], lines[-10:]))
    assert last < 0.9 * first
    assert card.encoder == load_key_net(encoder)[2]
    names = {"first of 16", "first of 16 by keys"}
    assert set(card.figures) == names | {f"{name}, documented" for name in names}
    assert card.figures["first of 16"] > 2 / 16, "more than by chance"
    assert json.loads((encoder / CARD_FILE).read_text())["figures"] == card.figures
    fits = load_reranker(encoder)("the letter in the storm", {"a.py:f": "ship_room", "a.py:g": "storm_letter"})
    assert fits["a.py:g"] > fits["a.py:f"]


def test_one_seed_gives_one_reranker(tmp_path):
    samples = {"code": [make_sample(number) for number in range(30)]}
    losses = []
    for run in ("one", "two"):
        encoder, lines = write_tiny_key_encoder(tmp_path / run), []
        train_reranker(RerankerTraining(steps=3, config=CONFIG), samples, encoder, encoder, "cpu", lines.append)
        losses.append([line["loss"] for line in lines])
    assert losses[0] == losses[1]


def test_records_to_measure_on_may_ask_for_no_function(tmp_path):
    encoder = write_tiny_key_encoder(tmp_path)
    code = [sample for sample in (make_sample(number) for number in range(30)) if not in_dev_split(sample)]
    prose = next(one for one in (Sample(f"p{n}", [SampleDocument("a", "b")]) for n in range(99)) if in_dev_split(one))
    card = train_reranker(RerankerTraining(steps=1, config=CONFIG), {"all": [*code, prose]}, encoder, encoder, "cpu")
    assert card.figures == {}
    assert load_reranker(encoder) is not None


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, "no end"), ({"steps": 1, "learning_rate": 0}, "0 is not"), ({"steps": 1, "seed": -1}, "-1")],
)
def test_settings_that_make_no_sense(options, told):
    with pytest.raises(UsageError, match=told):
        RerankerTraining(**options)


@pytest.mark.parametrize("shape", [(0, 3), (1, 0), (3, -1)])
def test_a_batch_needs_something_to_choose_from(shape):
    with pytest.raises(UsageError, match="a batch of"):
        RerankShape(*shape)
