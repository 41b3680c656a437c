import numpy as np
import pytest

from mctool.app.evaluate.answer_questions import DrawConfig, draw_questions
from mctool.core.errors import UsageError
from mctool.sources.corpus import Question, Sample, SampleDocument, in_dev_split


def encode(text):
    """One token for each character."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32), np.arange(len(text))


def sample(number, n_questions=4, n_unanswerable=3, n_documents=1):
    documents = [
        SampleDocument(f"r{number}/{place}", f"{number} {place} ".ljust(50, "x")) for place in range(n_documents)
    ]
    questions = [
        Question(f"r{number} q{place}", place % n_documents, 0, 1, any_block=False, answer="x")
        for place in range(n_questions)
    ]
    return Sample(f"r{number}", documents, questions, tuple(f"r{number} u{place}" for place in range(n_unanswerable)))


SAMPLES = [sample(number) for number in range(40)]


def draw(samples=SAMPLES, **changes):
    fields = {"tree_tokens": 200, "per_tree": 8, "questions": 20, "unanswerable": 20}
    return draw_questions(samples, encode, DrawConfig(**(fields | changes)))


def owners(tree):
    return {document.path.partition("/")[0] for document in tree.documents.documents}


def asked(trees, kind):
    return [one.text for tree in trees for one in tree.asked if one.kind == kind]


def test_answerable_questions_are_asked_where_their_document_is():
    trees = draw()
    assert [tree.count("answerable") for tree in trees] == [8, 8, 4]
    for tree in trees:
        for one in tree.asked:
            if one.kind == "answerable":
                document = tree.documents.documents[one.place.document]
                assert document.path.partition("/")[0] == one.text.split()[0]


def test_half_of_the_others_are_about_documents_of_the_tree_and_half_about_others():
    trees = draw()
    assert (len(asked(trees, "adversarial")), len(asked(trees, "foreign"))) == (10, 10)
    for tree in trees:
        for one in tree.asked:
            if one.kind != "answerable":
                assert one.place is None
                assert (one.text.split()[0] in owners(tree)) == (one.kind == "adversarial")
    unanswerable = [tree.count("adversarial", "foreign") for tree in trees]
    assert unanswerable == pytest.approx([8, 8, 4], abs=1.01)


def test_a_question_is_asked_of_one_tree():
    trees = draw(questions=400, unanswerable=400, per_tree=50)
    for kind in ("answerable", "adversarial", "foreign"):
        texts = asked(trees, kind)
        assert len(texts) == len(set(texts)) > 50


def test_more_of_one_kind_where_the_other_lacks():
    alone = draw([sample(number) for number in range(4)], tree_tokens=1000)
    assert (len(asked(alone, "adversarial")), len(asked(alone, "foreign"))) == (12, 0)
    polite = draw([sample(number, n_unanswerable=0) for number in range(40)])
    assert (len(asked(polite, "adversarial")), len(asked(polite, "foreign"))) == (0, 20)
    assert not asked(draw(unanswerable=0), "foreign")


def test_a_record_that_lies_in_two_trees_is_foreign_to_neither():
    trees = draw(
        [sample(number, n_documents=6, n_unanswerable=0) for number in range(6)], questions=30, unanswerable=99
    )
    for tree in trees:
        assert not owners(tree) & {text.split()[0] for text in asked([tree], "foreign")}


@pytest.mark.parametrize("split", ["dev", "train"])
def test_only_records_of_the_split_are_asked_about_and_the_others_fill_the_trees(split):
    is_dev = {one.id: in_dev_split(one) for one in SAMPLES}
    trees = draw(split=split, questions=1000, unanswerable=1000)
    about = {one.text.split()[0] for tree in trees for one in tree.asked}
    assert about
    assert {is_dev[name] for name in about} == {split == "dev"}
    assert {is_dev[name] for tree in trees for name in owners(tree)} == {True, False}


def test_questions_without_words_or_answers_are_not_asked():
    blank = [Question(" ", 0, 0, 1, any_block=False, answer="x"), Question("q?", 0, 0, 1, any_block=False)]
    assert draw([Sample("r", [SampleDocument("r", "x" * 50)], blank, ("  ",))]) == []


def test_draws_hang_on_the_seed():
    first, again, other = ([one.text for tree in draw(seed=seed) for one in tree.asked] for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"split": "test"}, "--split test"),
        ({"questions": 0}, "--questions 0 is not positive"),
        ({"per_tree": 0}, "--per-tree 0"),
        ({"tree_tokens": -1}, "--tree-tokens -1"),
        ({"unanswerable": -1}, "--unanswerable -1 is negative"),
    ],
)
def test_nonsense_is_refused(changes, told):
    with pytest.raises(UsageError, match=told):
        DrawConfig(**changes)
