import re
from dataclasses import replace

import numpy as np
import pytest

from mctool.app.code_places import (
    FIT_WEIGHT,
    READ_FUNCTIONS,
    CodePlaces,
    asks_for_place,
    code_places,
    focus_config,
    seeks_place,
)
from mctool.core.config import FocusConfig
from mctool.focus import WorkingContext
from mctool.focus.lens import UtilityLens
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, TokenDocument
from mctool.training.packed_tree import packed_tree

NAMES = ("src/a.py:Ship.sail", "src/a.py:dock", "src/a.py:Boat.sail")
PLACES = CodePlaces(
    {name: n for n, name in enumerate(NAMES)}, "def sail(self):\n    return  self.knots\n\ndef dock(): ...", {}
)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("src/a.py:Ship.sail", NAMES[2]),  # a name that is shown, but not the best
        ("return self.knots", None),  # word for word, but for white space
        ("src/a.py:Ship.sink", NAMES[2]),  # made up
        ("```python", NAMES[2]),
        ("17", None),  # a value, if a wrong one
        ("sail", NAMES[2]),  # two have that name
        ("Ship.sail", NAMES[0]),
        ("dock", NAMES[1]),
        ("", NAMES[2]),
    ],
)
def test_the_best_of_what_an_answer_may_mean_is_named(answer, name):
    assert PLACES.named(answer) == name


@pytest.mark.parametrize(
    ("answer", "name"),
    [("17", NAMES[2]), ("return self.knots", NAMES[2]), ("Ship.sail", NAMES[0]), (NAMES[1], NAMES[2])],
)
def test_what_is_named_where_a_place_is_sought(answer, name):
    assert replace(PLACES, is_sought=True).named(answer) == name


@pytest.mark.parametrize("literal", ["47", "-0.5", "'a b'", "None", "true"])
def test_a_literal_that_is_shown_stays(literal):
    places = CodePlaces({NAMES[0]: 0.0}, f"def sail(self, knots={literal}):", {}, is_sought=True)
    assert places.named(literal) is None
    assert replace(places, text="").named(literal) == NAMES[0]


@pytest.mark.parametrize(
    ("question", "is_place"),
    [
        ("Returns the number of boats in a harbour.", True),
        ("Where are sockets closed?", True),
        ("Which function makes the ship sail?", True),
        ("What class encodes objects as JSON?", True),
        ("find the method that counts boats", True),
        ("What is the default timeout?", False),
        ("Who wrote this?", False),
        ("How many boats does sail() take", False),
        ("the default timeout?", False),
        ("Name the default port.", False),
        ("What is the default timeout of the connect method?", False),
        ("What is the default timeout where none is given?", False),
        ("What does the function parse_reply return?", False),
        ("What is the function of the pool?", False),
        ("Which argument of the method sets the timeout?", False),
        ("Show the default of the method.", False),
        ("What is the name of the function that closes sockets?", True),
        ("In this package, which private helper functions open files?", True),
        ("Show me all the methods that count.", True),
        ("Summarise this.", False),
    ],
)
def test_what_asks_for_a_place(question, is_place):
    assert asks_for_place(question) is is_place


@pytest.mark.parametrize(
    ("question", "paths", "is_sought"),
    [
        ("Counts boats.", ["a.py"], True),
        ("Counts boats.", ["a.py", "a.md"], False),
        ("Counts boats.", [], False),
        ("How many boats are there?", ["a.py"], False),
    ],
)
def test_a_place_is_sought_in_documents_that_are_mostly_code(question, paths, is_sought):
    assert seeks_place(question, paths) is is_sought


def test_more_is_shown_where_a_place_in_code_is_sought():
    shown = focus_config(FocusConfig(), seeks_place=True)
    assert shown.narrow_tokens > FocusConfig.narrow_tokens
    assert shown.narrow_share < FocusConfig.narrow_share
    roomy = FocusConfig(narrow_tokens=1000, narrow_share=0.1)
    assert focus_config(roomy, seeks_place=True) == roomy
    assert focus_config(FocusConfig(), seeks_place=False) == FocusConfig()


CODE = "".join(
    f"class Boat{letter}:\n    def sail_home(self):\n        return self.harbour\n\n\ndef dock_{letter}(boat):\n"
    f"    boat.moor({letter!r})\n\n\n"
    for letter in "abcdefgh"
)


@pytest.fixture(scope="module")
def tree(tiny_model_dir):
    files = ModelFiles(tiny_model_dir.name, tiny_model_dir)
    tokenizer = TextTokenizer.load(files)
    documents = [
        TokenDocument(path, text, *tokenizer.encode_with_offsets(text))
        for path, text in {"boats.py": CODE, "boats.txt": CODE}.items()
    ]
    with packed_tree(Pack(documents, []), files.name, tokenizer) as tree:
        yield tree


def working_context(tree, raw):
    """All blocks, those of the given ranks raw, with a score of a tenth of the rank each."""
    context = WorkingContext.showing(tree.timeline, raw)
    return context, np.arange(len(context)) / 10


def test_names_lean_by_the_lens(tree):
    context, scores = working_context(tree, [0, 4])
    places = code_places(tree, context, scores, "Where is it?")
    assert places.is_sought
    leanings = places.leanings
    assert {name.partition(":")[0] for name in leanings} == {"0/boats.py"}
    assert max(leanings.values()) == 0.0
    first = tree.text(int(context.index[0]), int(context.index[0]) + 1)
    assert first.startswith("class Boata")
    assert leanings["0/boats.py:Boata"] == pytest.approx(scores[0] - scores[4])


def test_of_several_names_that_may_be_meant_the_texts_are_read(tree):
    context, scores = working_context(tree, [0, 4])
    read = []

    def rerank(functions):
        read.append(dict(functions))
        return {name: float(name == "0/boats.py:Boata") for name in functions}

    places = code_places(tree, context, scores, "Where is it?", rerank)
    assert places.named("Boata.sail_home") == "0/boats.py:Boata.sail_home"
    assert not read, "there is nothing to choose"
    assert max(places.leanings.values()) < FIT_WEIGHT + places.leanings["0/boats.py:Boata"]
    assert places.named("") == "0/boats.py:Boata"
    (texts,) = read
    assert texts.keys() == places.leanings.keys()
    assert texts["0/boats.py:Boata"].strip() == CODE[: CODE.index("def dock_a")].strip()
    assert texts["0/boats.py:Boata.sail_home"].strip().endswith("return self.harbour")


def test_of_several_of_one_name_the_one_that_is_shown_is_read(tiny_model_dir):
    files = ModelFiles(tiny_model_dir.name, tiny_model_dir)
    tokenizer = TextTokenizer.load(files)
    text = "".join(f"def sail(ship):\n    return ship.harbour_{n}_\n\n\n" for n in range(20))
    pack = Pack([TokenDocument("a.py", text, *tokenizer.encode_with_offsets(text))], [])
    with packed_tree(pack, files.name, tokenizer) as tree:
        for block in range(tree.timeline.total_blocks):
            context, scores = working_context(tree, [block])
            places = code_places(tree, context, scores, "Where?", rerank=lambda texts: texts)
            (read,) = places.fits(places.leanings).values()
            assert read.count("def ") == 1
            start, (block_start,), (block_end,) = (
                text.index(read),
                *tree.char_ranges(np.array([block]), np.array([block + 1])),
            )
            assert start < block_end
            assert block_start < start + len(read)


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("Which class sails?", {"Boat"}),
        ("Find the methods that sail", {"sail_home", "dock_"}),
        ("Where is it?", {"Boat", "sail_home", "dock_"}),
    ],
)
def test_only_what_is_asked_for_has_a_place(tree, question, kinds):
    context, scores = working_context(tree, np.arange(2))
    names = code_places(tree, context, scores, question).leanings
    assert {re.search(r"(Boat|sail_home|dock_)\w?$", name)[1] for name in names} == kinds


def test_a_kind_that_is_not_shown_is_not_insisted_on(tree):
    n_code = int(tree.timeline.first_block[1])
    for first in range(n_code):
        context, scores = working_context(tree, [first])
        places = code_places(tree, context, scores, "Which class?")
        assert places is None or places.leanings


def test_the_closer_lens_goes_by_what_was_read(tree):
    n_code = int(tree.timeline.first_block[1])
    context, scores = working_context(tree, np.arange(n_code))
    lens = UtilityLens("lens", tree.timeline, np.linspace(0.5, 1, tree.timeline.total_blocks))
    wanted, read = "0/boats.py:dock_b", []

    def rerank(functions):
        read.append(len(functions))
        return {name: float(name == wanted) for name in functions}

    places = code_places(tree, context, scores, "Where?", rerank=rerank)
    # All lean alike, so that the wanted one is surely among those that are read.
    even = replace(places, leanings=dict.fromkeys([wanted, *places.leanings], 0.0))
    closer = even.closer_lens(lens, tree.timeline)
    assert read == [READ_FUNCTIONS]
    shown = tree.timeline.rank(np.array([*places.blocks[wanted]]))
    assert closer.name == lens.name
    assert np.array_equal(closer.utility[shown], lens.utility[shown])
    others = np.setdiff1d(np.arange(n_code), shown)
    assert (closer.utility[others] < 0.01).all(), "all others fit much worse"
    assert np.array_equal(closer.utility[n_code:], lens.utility[n_code:]), "what is no function counts as before"


def test_where_nothing_reads_functions_there_is_no_closer_lens(tree):
    context, scores = working_context(tree, [0, 4])
    lens = UtilityLens("lens", tree.timeline, np.ones(tree.timeline.total_blocks))
    assert code_places(tree, context, scores, "Where?").closer_lens(lens, tree.timeline) is lens


def test_prose_has_no_places(tree):
    n_code = int(tree.timeline.first_block[1])
    context, scores = working_context(tree, np.arange(n_code, tree.timeline.total_blocks))
    assert code_places(tree, context, scores, "Who sails home?") is None
