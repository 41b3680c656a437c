import importlib.util
from xml.etree import ElementTree

import pytest

from mctool.core.errors import MissingBackendError, ResourceError, UsageError
from mctool.render import plots
from mctool.render.plots import plot_answers, plot_focus, plot_speed, require_plotting

needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
FOCUS = [
    {"set": name, "signal": signal, "budget": budget, "recall": 0.5 + budget / 5000, "se": 0.02}
    for name in ("code", "prose")
    for signal in ("mctool hybrid", "mctool lexical", "keys", "bm25 chunks")
    for budget in (128, 256, 512)
]
ANSWERS = [
    {"set": "SQuAD", "system": "mctool ask", "f1": 0.55, "f1_se": 0.02, "lookup": None},
    {"set": "SQuAD", "system": "no text", "f1": 0.0, "f1_se": None, "lookup": None},
    {"set": "code", "system": "mctool ask", "f1": 0.1, "f1_se": 0.02, "lookup": 0.6},
]
SPEED = [
    {"measure": measure, "system": system, "value": 10.0, "unit": "s", "ratio": None, "baseline": None}
    for measure in ("load", "ask", "ingest", "help", "decode")
    for system in ("mctool", "other")
]


def text_of(file):
    return " ".join(ElementTree.parse(file).getroot().itertext())


@needs_matplotlib
def test_focus_curves(tmp_path):
    file = tmp_path / "focus.svg"
    plot_focus(FOCUS, [{"set": "code", "questions": 7}, {"set": "prose", "questions": 9}], file)
    text = text_of(file)
    assert all(words in text for words in ("code (7 questions)", "prose (9 questions)", "mctool hybrid", "512"))
    first = file.read_bytes()
    plot_focus(FOCUS, [{"set": "code", "questions": 7}, {"set": "prose", "questions": 9}], file)
    assert file.read_bytes() == first


@needs_matplotlib
def test_bars_of_answers(tmp_path):
    file = tmp_path / "answers.svg"
    plot_answers(ANSWERS, [{"set": "SQuAD", "answerable": 7}, {"set": "code", "answerable": 9}], file)
    text = text_of(file)
    assert all(words in text for words in ("F1", "functions named or cited first", "no text"))


@needs_matplotlib
def test_speed_as_png(tmp_path):
    file = tmp_path / "speed.png"
    plot_speed(SPEED, file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused_before_measuring(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"neither a \.png nor a \.svg"):
        require_plotting(tmp_path / "plot.gif")
    with monkeypatch.context() as patch:
        patch.setattr(plots, "find_spec", lambda _name: None)
        with pytest.raises(MissingBackendError, match=r'pip install "mctool\[plot\]"') as raised:
            require_plotting(tmp_path / "plot.svg")
    assert raised.value.exit_code == 8
    monkeypatch.setattr(plots, "find_spec", lambda _name: object())
    with pytest.raises(ResourceError, match="no such directory"):
        require_plotting(tmp_path / "none" / "plot.svg")
    require_plotting(tmp_path / "plot.SVG")
