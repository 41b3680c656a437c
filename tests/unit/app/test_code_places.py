import pytest

from mctool.app.code_places import CodePlaces

NAMES = ("src/a.py:Ship.sail", "src/a.py:dock", "src/a.py:Boat.sail")
PLACES = CodePlaces(NAMES, "def sail(self):\n    return  self.knots\n\ndef dock(): ...")


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("src/a.py:Ship.sail", ()),
        ("return self.knots", ()),  # word for word, but for white space
        ("src/a.py:Ship.sink", NAMES),  # made up
        ("```python", NAMES),
        ("17", ()),  # a value, if a wrong one
        ("sail", (NAMES[0], NAMES[2])),  # two have that name
        ("Ship.sail", NAMES[:1]),
        ("dock", NAMES[1:2]),
    ],
)
def test_what_an_answer_means(answer, meant):
    assert PLACES.meant(answer) == meant


def test_silence_is_made_up():
    assert CodePlaces(NAMES[:1], "").meant("") == NAMES[:1]
