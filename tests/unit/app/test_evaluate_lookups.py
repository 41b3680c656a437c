import json

import pytest

from mctool.app.evaluate.lookups import documented_lookups
from mctool.app.evaluate.sets import chosen_sets
from mctool.app.evaluate.standard_library import SET_NAME
from mctool.core.errors import UsageError
from mctool.sources.corpus import Question, Sample, SampleDocument

BODY = "    a = 1\n    b = 2\n    c = 3\n    return a + b + c\n"
SAID = "It sails the ship home through the storm."
TEXT = f'class Ship:\n    def sail(self):\n        """{SAID}\n\n        Slowly.\n        """\n'
TEXT += "".join(f"    {line}\n" for line in BODY.splitlines())


def test_a_docstring_asks_for_its_function_and_stays():
    sample = Sample("one", [SampleDocument("a.py", TEXT)], [Question("Where?", 0, 0, 1, True)], ("Why?",))
    (asked,) = documented_lookups([sample])
    assert asked.documents == sample.documents
    assert not asked.unanswerable
    (question,) = asked.questions
    assert (question.text, question.answer) == (SAID, "a.py:Ship.sail")
    assert TEXT[question.start :].startswith("def sail(self):")
    assert TEXT[: question.end].endswith("return a + b + c")
    assert question.any_block


def test_what_several_docstrings_say_or_hardly_any_body_follows_is_not_asked():
    twice = Sample("one", [SampleDocument("a.py", TEXT), SampleDocument("b.py", TEXT)])
    short = Sample("two", [SampleDocument("a.py", f'def sail():\n    """{SAID[:-1]} now."""\n    return 1\n')])
    assert [sample.questions for sample in documented_lookups([twice, short])] == [[], []]


def test_sets_without_docstrings_are_left_out(tmp_path):
    prose, code = tmp_path / "prose.jsonl", tmp_path / "code.jsonl"
    asked = [{"q": "Who?", "answer": "He", "start": 0, "end": 2}]
    prose.write_text(json.dumps({"id": "p", "text": "He sails.", "questions": asked}))
    code.write_text(json.dumps({"id": "c", "text": f"# ==== file: a.py ====\n{TEXT}", "questions": []}))
    assert list(chosen_sets([prose, code], [], documented=True)) == ["code, documented"]
    with pytest.raises(UsageError, match="no function in the data has kept its docstring"):
        chosen_sets([prose], [], documented=True)


def test_without_data_the_standard_library_keeps_its_docstrings():
    ((name, samples),) = chosen_sets([], [], documented=True).items()
    assert name == f"{SET_NAME}, documented"
    asked = [(sample, question) for sample in samples for question in sample.questions]
    assert len(asked) > 500
    for sample, question in asked[:50]:
        text = sample.documents[question.document].text
        assert question.text in " ".join(text[question.start : question.end].split())
