import pytest

from mctool.sources.definitions import defined_lines

PYTHON = '''import os

class Ship:
    """A ship."""

    name = "x"

    async def sail(self,
                   knots):
        for i in range(3):
            go(i)
        # a note
        return knots

    @property
    def crew(self):
        return 3

def harbour():
    def inner():
        wait()

    return Ship()

END = 1
'''

RUST = """impl<T> Harbour<T> {
    pub(crate) fn enter(&self) -> bool {
        let x = 1;
        true
    }
}

func (s *Server) Close() error {
	return nil
}
"""


def around(text, piece):
    start = text.index(piece)
    lines = defined_lines(text[: start + len(piece)], start)
    return list(dict.fromkeys(name for line in lines for name in line.names))


@pytest.mark.parametrize(
    ("piece", "names"),
    [
        ("import os", []),
        ('name = "x"', ["Ship"]),
        ("go(i)", ["Ship.sail"]),
        ("# a note\n        return knots", ["Ship.sail"]),
        ("return knots\n\n    @property\n    def crew(self)", ["Ship.sail", "Ship", "Ship.crew"]),
        ("return Ship()", ["harbour"]),
        ("wait()", ["harbour", "harbour.inner"]),
        ("END = 1", []),
        (PYTHON, ["Ship", "Ship.sail", "Ship.crew", "harbour", "harbour.inner"]),
    ],
)
def test_python(piece, names):
    assert around(PYTHON, piece) == names


@pytest.mark.parametrize(("piece", "names"), [("let x", ["Harbour.enter"]), ("return nil", ["Close"])])
def test_braces(piece, names):
    assert around(RUST, piece) == names


def test_nothing_is_around_nothing():
    assert list(defined_lines("", 0)) == []


def test_lines_tell_where_they_are():
    lines = list(defined_lines(PYTHON, PYTHON.index("wait()")))
    assert [PYTHON[line.start : line.end].strip() for line in lines] == ["wait()", "", "return Ship()", "", "END = 1"]
