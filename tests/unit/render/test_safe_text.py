import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mctool.render.safe_text import fit_end, fit_start, safe_line, safe_text

ANY_TEXT = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\x7fb\x9b31mc", "a␡b\ufffd31mc"),
        ("abc\rxyz", "abc␍xyz"),
        ("one\r\ntwo\n", "one\ntwo\n"),
        ("\tx", "    x"),
        ("x = '\u202egnp.exe'", "x = '<U+202E>gnp.exe'"),
        ("zero\u200bwidth\ufeff", "zero<U+200B>width<U+FEFF>"),
        ("half \ud83d", "half \ufffd"),
        ("naïve 東京 🙂 👨\u200d👩\u200d👧 e\u0301 x\u200cy", "naïve 東京 🙂 👨\u200d👩\u200d👧 e\u0301 x\u200cy"),
        ("[bold]markup[/bold]", "[bold]markup[/bold]"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown(text, shown):
    assert safe_text(text) == shown


@given(ANY_TEXT)
def test_nothing_unsafe_is_left(text):
    shown = safe_text(text)
    assert all(char == "\n" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") for char in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert safe_text(shown) == shown
    shown.encode()


def test_a_path_stays_on_one_line():
    assert safe_line("a\nb.py") == "a␊b.py"


@given(st.text("aé東🙂/", max_size=30), st.integers(0, 30))
def test_cut_text_fits_and_keeps_the_right_end(text, columns):
    for fit, keeps in ((fit_end, str.startswith), (fit_start, str.endswith)):
        cut = fit(text, columns)
        assert cell_len(cut) <= columns
        assert cut == text if cell_len(text) <= columns else "…" in cut or columns == 0
        assert keeps(text, cut.replace("…", "").rstrip())
