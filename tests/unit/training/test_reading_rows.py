import numpy as np
import pytest

from mctool.focus.lexical_lens import lexical_lens
from mctool.sources.corpus import Question, Sample, SampleDocument
from mctool.training.reading_rows import RowLens, reading_rows

PLACES = ["Avenham", "Brindle", "Croston", "Darwen", "Euxton", "Freckleton", "Garstang", "Heysham", "Ingol", "Kirkham"]
FILLER = " The roads there are narrow, and in winter the carts bring coal and flour from the coast. " * 3


def town(number):
    text, questions = "", []
    for place in PLACES:
        name = f"{place} {number}"
        text += f"The mayor of {name} is called Doctor {place[::-1].title()}."
        answer = f"Doctor {place[::-1].title()}"
        start = text.index(answer)
        questions.append(Question(f"Who is the mayor of {name}?", 0, start, start + len(answer), False, answer))
        text += FILLER
    return Sample(f"town-{number}", [SampleDocument(f"town-{number}", text)], questions, ("Who is the mayor of Ulm?",))


def module(number):
    text = ""
    questions = []
    for place in PLACES:
        def_start = len(text)
        text += f"def count_{place.lower()}(values):\n    total = 0\n    for value in values:\n        total += value\n"
        text += f"    return total + {number}  # {place}\n\n\n"
        start = text.index("    total", def_start)
        answer = f"pkg/{number}.py:Town.count_{place.lower()}"
        question = f"Counts everything in {place}."
        questions.append(Question(question, 0, start, len(text), True, answer, def_start=def_start))
    return Sample(f"code-{number}", [SampleDocument(f"code-{number}/pkg/{number}.py", text)], questions)


@pytest.fixture(scope="module")
def prose(tiny_tokenizer, tiny_files):
    return reading_rows([town(n) for n in range(4)], tiny_tokenizer, tiny_files.name, 512, 40, seed=0)


@pytest.fixture(scope="module")
def code(tiny_tokenizer, tiny_files):
    return reading_rows([module(n) for n in range(4)], tiny_tokenizer, tiny_files.name, 512, 60, seed=0)


def segments(rows, tokenizer):
    for row in rows:
        window = tokenizer.decode(row.ids)
        for segment in row.segments:
            yield window, segment.kind, tokenizer.decode(segment.prompt), tokenizer.decode(segment.target)


def test_short_answers_stand_in_the_window(prose, tiny_tokenizer):
    answered = [(window, target) for window, kind, _, target in segments(prose, tiny_tokenizer) if kind == "short"]
    assert len(answered) > 20
    assert all(target.strip() in window for window, target in answered)


def test_long_answers_are_sentences_of_the_window(prose, tiny_tokenizer):
    answered = [found for found in segments(prose, tiny_tokenizer) if found[1] == "long"]
    assert answered
    for window, _, prompt, target in answered:
        assert prompt.endswith("\nAnswer:")
        assert target.strip() in window
        assert target.endswith(".")


def test_refusals_are_silent_and_have_no_answer_in_the_window(prose, tiny_tokenizer):
    refused = [found for found in segments(prose, tiny_tokenizer) if found[1] == "silence"]
    assert len(refused) > 10
    for window, _, prompt, target in refused:
        assert target == ""
        name = prompt.partition("Who is the mayor of ")[2].partition("?")[0]
        answer = f"Doctor {name.partition(' ')[0][::-1].title()}"
        assert name == "Ulm" or f"{name} is called {answer}" not in window


def test_functions_are_named_with_the_path_that_the_window_shows(code, tiny_tokenizer):
    found = [(window, target) for window, kind, _, target in segments(code, tiny_tokenizer) if kind == "lookup"]
    assert found
    for window, target in found:
        path, _, name = target.strip().rpartition(":")
        assert f"def {name}(" in window
        assert f"[{path}]" in window


def test_positions_ascend_and_leave_room_for_the_answer(prose):
    for row in prose:
        assert np.all(np.diff(row.positions) >= 1)
        assert row.positions[-1] < row.tail <= 512 - 128


def test_the_seed_decides(tiny_tokenizer, tiny_files):
    samples = [town(n) for n in range(3)]
    first, again, other = (
        reading_rows(samples, tiny_tokenizer, tiny_files.name, 512, 6, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_another_lens_chooses_other_windows(tiny_tokenizer, tiny_files):
    samples = [town(n) for n in range(4)]
    trees = []

    def look(tree):
        trees.append(tree.timeline.total_tokens)
        return lambda _question, _hits: lexical_lens(tree.timeline, [])  # sees nothing, so that nothing is shown

    assert not reading_rows(samples, tiny_tokenizer, tiny_files.name, 512, 40, seed=0, lens=RowLens(look))
    assert trees
