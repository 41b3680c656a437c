import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.app.evaluate.haystack import Haystack, cut_pages, hide, shows
from mctool.app.evaluate.needle import NeedleConfig, evaluate_needle, is_right
from mctool.app.evaluate.needle_facts import DISTRACTORS, KINDS, make_needle
from mctool.core.errors import UsageError
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import SampleDocument
from mctool.tree import Tree

LINES = "".join(f"Line {n} tells of the harbour. Nobody reads it.\n" for n in range(400))
DOCUMENTS = [SampleDocument("a.txt", LINES), SampleDocument("b.txt", LINES.replace("harbour", "bridge"))]


@pytest.fixture(autouse=True)
def no_known_nets(tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir):
    return TextTokenizer.load(ModelFiles(tiny_model_dir.name, tiny_model_dir))


@pytest.fixture(scope="module")
def pages(tokenizer):
    return cut_pages(DOCUMENTS, tokenizer.encode_with_offsets, 20_000)


@pytest.fixture(scope="module")
def the_pages(pages):
    return lambda: pages  # hypothesis prints arguments, and these are long


@pytest.mark.parametrize("n_tokens", [1, 700, 20_000, 60_000])
def test_pages_hold_as_many_tokens_as_wanted(tokenizer, n_tokens):
    pages = cut_pages(DOCUMENTS, tokenizer.encode_with_offsets, n_tokens)
    assert abs(sum(len(page.ids) for page in pages) - n_tokens) <= 1
    assert all(page.text.endswith("\n") for page in pages[:-1])
    assert "".join(page.text for page in pages).startswith(LINES[: 2 * n_tokens // 10])


def test_a_line_that_is_longer_than_a_page_is_cut(tokenizer):
    pages = cut_pages([SampleDocument("a", "word " * 3000)], tokenizer.encode_with_offsets, 3000)
    assert len(pages) > 1


@given(kind=st.sampled_from(KINDS), depth=st.floats(0, 1), seed=st.integers(0, 99))
def test_sentences_are_put_in_whole_and_where_they_are_said_to_be(the_pages, kind, depth, seed):
    pages = the_pages()
    rng = np.random.default_rng(seed)
    needle = make_needle(kind, rng)
    trial = hide(needle, pages, depth, rng)
    whole = "".join(trial.versions.get(number, page.text) for number, page in enumerate(pages))
    for sentence in (needle.sentence, *needle.links, *needle.distractors):
        assert whole.count(sentence) == 1
    spans = [trial.versions[one.page][one.start : one.end] for one in trial.needed]
    assert spans == [needle.answer, *needle.links]
    before = np.cumsum([0, *(len(page.ids) for page in pages)])
    page = trial.needed[0].page
    assert before[page] <= depth * before[-1] <= before[page + 1]
    lines = {sentence: f"{sentence}\n" for sentence in (needle.sentence, *needle.links, *needle.distractors)}
    for sentence, line in lines.items():
        whole = whole.replace(line if line in whole else f"{sentence} ", "")
    assert whole.rstrip() == "".join(page.text for page in pages).rstrip(), "nothing else has changed"


def test_each_kind_asks_for_one_answer():
    rng = np.random.default_rng(0)
    for kind in KINDS:
        needle = make_needle(kind, rng)
        assert needle.kind == kind
        assert needle.answer in needle.sentence
        assert needle.answer not in needle.question
        assert not any(needle.answer in other for other in (*needle.links, *needle.distractors))
        assert len(needle.distractors) == (DISTRACTORS if kind == "multi-key" else 0)
        assert len(needle.links) == (kind == "tracking")


def test_a_tree_holds_each_page_once_with_one_needle(pages, tokenizer, tiny_model_dir):
    rng = np.random.default_rng(1)
    trials = [hide(make_needle(kind, rng), pages, depth, rng) for kind in KINDS for depth in (0, 0.5, 1)]
    with Haystack(pages, trials, tiny_model_dir.name, tokenizer, None) as haystack:
        for trial in trials:
            with haystack.tree_of(trial) as place, Tree.open(place) as tree:
                texts = [tree.span(one.first_block, one.end_block).text for one in tree.documents]
                paths = [one.path for one in tree.documents]
            assert texts == [trial.versions.get(number, page.text) for number, page in enumerate(pages)]
            assert [haystack.path_of(number, trial) for number in range(len(pages))] == paths
            assert not place.exists()


@pytest.mark.parametrize(
    ("entries", "whole"),
    [
        ([("a", 0, 10)], True),
        ([("a", 0, 5), ("a", 5, 10)], True),
        ([("a", 5, 10), ("a", 0, 5), (None, None, None)], True),
        ([("a", 0, 4), ("a", 5, 10)], False),
        ([("b", 0, 10)], False),
        ([("a", 3, 6)], False),
        ([], False),
    ],
)
def test_what_is_shown(entries, whole):
    assert shows(entries, "a", 2, 7) == whole


@pytest.mark.parametrize(
    ("answer", "right"),
    [("12345", True), ("It is 12345.", True), ("123456", False), ("", False), ("12,345", True), ("1 2345", False)],
)
def test_an_answer_must_hold_the_words(answer, right):
    assert is_right(answer, "12345") == right


@pytest.fixture
def config(tiny_model_dir, tmp_path):
    path = tmp_path / "book.jsonl"
    path.write_text(json.dumps({"id": 1, "text": LINES}) + "\n")
    return NeedleConfig(
        data=(path,), tokens=(600, 3000), depths=(0.0, 100.0), samples=2, model=str(tiny_model_dir), device="cpu",
        max_new_tokens=4,
    )  # fmt: skip


def test_the_lexical_lens_opens_what_it_is_asked_for_by_name(config):
    result = evaluate_needle(config)
    assert [(row.tokens, row.kind, row.depth) for row in result.rows] == [
        (tokens, kind, depth) for tokens in (600, 3000) for kind in KINDS for depth in (0.0, 100.0)
    ]
    assert all(row.opened == 1 for row in result.rows if row.kind != "tracking")
    assert all(row.n == 2 for row in result.rows)
    assert result.haystack == "book"
    assert len(result.details) == sum(row.n for row in result.rows)


def test_a_needle_is_the_same_whatever_else_is_measured(config):
    alone = evaluate_needle(replace(config, tokens=(600,), kinds=("fact",), depths=(100.0,), samples=1))
    among = [one for one in evaluate_needle(replace(config, tokens=(600,))).details if one.kind == "fact"]
    assert replace(alone.details[0], seconds=0) in [replace(one, seconds=0) for one in among]


def test_ordinary_retrieval_is_measured_when_asked_for(config):
    config = replace(config, tokens=(600,), depths=(50.0,), kinds=("fact",), samples=1)
    (plain,) = evaluate_needle(config).rows
    with_rag = evaluate_needle(replace(config, rag=True))
    assert plain.rag_correct is None
    assert with_rag.rows[0].rag_correct == float(is_right(with_rag.details[0].rag_answer, with_rag.details[0].gold))
    assert replace(with_rag.rows[0], seconds=0, rag_correct=None) == replace(plain, seconds=0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tokens": (0,)}, "--tokens 0 is not positive"),
        ({"depths": (101.0,)}, "--depth 101 is not between 0 and 100"),
        ({"depths": (float("nan"),)}, "--depth nan is not between"),
        ({"kinds": ("pin",)}, "--kind pin is not one of pass-key, fact"),
        ({"lens": "magic"}, "--lens magic is not one of hybrid"),
        ({"samples": 0}, "--samples 0 is not positive"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0 is not positive"),
        ({"haystack": "hay"}, "--haystack hay is not one of docstrings, sources"),
    ],
)
def test_nonsense_is_refused(changes, told):
    with pytest.raises(UsageError, match=told):
        NeedleConfig(**changes)


def test_data_without_text_is_refused(config, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UsageError, match="--data holds no text"):
        evaluate_needle(replace(config, data=(tmp_path / "empty.jsonl",)))
