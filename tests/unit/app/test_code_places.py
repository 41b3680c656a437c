import pytest

from mctool.app.code_places import CodePlaces

PLACES = CodePlaces(
    ("src/a.py:Ship.sail", "src/a.py:dock"), "def sail(self):\n    return  self.knots\n\ndef dock(): ..."
)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("src/a.py:Ship.sail", True),
        ("src/a.py:Ship.sink", False),  # made up
        ("return self.knots", True),  # word for word, but for white space
        ("sail", False),  # a name that is better told in full
        ("Ship.sail", False),
        ("```python", False),
        ("", False),
    ],
)
def test_what_a_window_shows(answer, shown):
    assert PLACES.shows(answer) == shown
