import pytest

from mctool.sources.docstrings import documented, first_sentence

TEXT = '''import os

class Ship:
    """A ship that is none of the functions."""

    async def sail(self, knots):
        """Bring the ship — and all of its crew — home. Slowly.

        At night.
        """
        self.knots = knots
        while not self.home:
            await self.step()
        return self

    def crew(self):
        """Nothing but words about the crew here."""

def dock(ship):
    """dock(ship) moors a ship at the pier."""
    a = 1
    b = 2
    c = 3
    return a

def short():
    """Is over before it has begun."""
    return 1
'''


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Do it. And more.", "Do it."),
        ("Do\n    it now!\n\nDetails.", "Do it now!"),
        ("No end", "No end"),
        ("Use v1.2 here. Then", "Use v1.2 here."),
        ("", ""),
    ],
)
def test_first_sentence(docstring, sentence):
    assert first_sentence(docstring) == sentence


def test_functions_with_a_docstring_and_more():
    found = {one.name: one for one in documented(TEXT)}
    assert list(found) == ["Ship.sail", "dock", "short"]
    sail = found["Ship.sail"]
    assert sail.sentence == "Bring the ship — and all of its crew — home."
    assert TEXT[sail.start :].startswith("async def sail")
    assert TEXT[slice(*sail.docstring)].startswith('"""Bring')
    assert TEXT[slice(*sail.docstring)].endswith('night.\n        """')
    assert TEXT[slice(*sail.body)].startswith("self.knots")
    assert TEXT[slice(*sail.body)].endswith("return self")
    assert sail.body_lines == 4


def test_a_signature_is_no_question():
    assert {one.name: one.is_question for one in documented(TEXT)} == {"Ship.sail": True, "dock": False, "short": True}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_python_is_one(line_end):
    text = TEXT.replace("\n", line_end)
    found = {one.name: text[slice(*one.body)] for one in documented(text)}
    assert found["Ship.sail"].startswith("self.knots")
    assert found["short"] == "return 1"


@pytest.mark.parametrize("text", ["func main() {", "a = 1\x00", "(" * 5000, f"a = {'1+' * 20_000}1"])
def test_nothing_is_found_where_python_cannot_read(text):
    assert list(documented(text)) == []


def test_deep_expressions_and_odd_escapes_are_no_hindrance():
    deep = f"a = {'1+' * 300}1\nb = '\\d'\n"
    assert len(list(documented(deep + TEXT))) == 3
