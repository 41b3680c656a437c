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


def test_signatures_and_short_functions_are_not_asked_for():
    assert {one.name: one.is_asked for one in documented(TEXT)} == {"Ship.sail": True, "dock": False, "short": False}


def test_other_text_is_no_python():
    with pytest.raises(SyntaxError):
        list(documented("func main() {"))
