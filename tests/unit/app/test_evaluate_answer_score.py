import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.app.evaluate.answer_score import exact_match, f1, names_function, words


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The Beatles", ["beatles"]),
        ("a cat, an ant and the dog.", ["cat", "ant", "and", "dog"]),
        ("  U.S.\tArmy\n", ["us", "army"]),
        ("anthem theatre a1", ["anthem", "theatre", "a1"]),
        ("$3.5-million", ["35million"]),
        ("The", []),
        ("Ångström's “x”", ["ångströms", "“x”"]),  # only ASCII punctuation goes
    ],
)
def test_words_are_those_of_squad(text, left):
    assert words(text) == left


@pytest.mark.parametrize(
    ("answer", "golds", "expected_f1", "expected_em"),
    [
        ("the Eiffel Tower", ["Eiffel tower."], 1, 1),
        ("in 1889", ["1889"], 2 / 3, 0),
        ("in 1889", ["1889", "in the 1889"], 1, 1),
        ("red red blue", ["red blue blue"], 2 / 3, 0),
        ("blue", ["red"], 0, 0),
        ("", ["red"], 0, 0),
        ("The", ["a"], 1, 1),
    ],
)
def test_scores(answer, golds, expected_f1, expected_em):
    assert f1(answer, golds) == pytest.approx(expected_f1)
    assert exact_match(answer, golds) == expected_em


@given(st.text(), st.text())
def test_f1_is_symmetric_and_1_for_equal_words(one, other):
    assert f1(one, [other]) == f1(other, [one])
    assert 0 <= f1(one, [other]) <= 1
    assert (f1(one, [other]) == 1) >= bool(exact_match(one, [other]))
    assert f1(one, [one]) == exact_match(one, [one]) == 1


GOLD = "pkg/io/reader.py:Reader.read_all"


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        (GOLD, True),
        ("12/id-7/pkg/io/reader.py:read_all", True),
        ("It is `io/reader.py:Reader.read_all()`.", True),
        ("reader.py:read_all.", True),
        ("pkg/io/reader.py:read", False),
        ("pkg/io/reader.py:Writer.read_all", False),
        ("pkg/net/reader.py:read_all", False),
        ("myreader.py:read_all", False),
        ("read_all", False),
        ("pkg/io/reader.py", False),
        ("", False),
    ],
)
def test_a_function_is_named_by_the_ends_of_its_path_and_name(answer, is_right):
    assert names_function(answer, GOLD) is is_right
