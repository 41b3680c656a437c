import io
import re

import pytest
from rich.console import Console

from mctool.cli import focus_frames
from mctool.cli.focus_frames import FocusFrames
from mctool.core.records import FocusEntry, FocusIteration
from mctool.render.lod_cells import Places

PLACES = Places([0], lambda _start, _end: (1, 2))
COVER = [FocusEntry(1, 0, 32, 1, 0.0, "a.py", 0, 9), FocusEntry(1, 32, 64, 1, 0.0, "a.py", 9, 20)]
FINER = [FocusEntry(0, 0, 32, 32, 1.0, "a.py", 0, 9), COVER[1]]
RECORD = FocusIteration(1, 0, 0.5, 33, 0.001)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(focus_frames, "FRAME_S", 0.0)


def run_through(console):
    frames = FocusFrames(console, PLACES, w_max=64)
    frames.show(0, COVER, None)
    frames.show(1, FINER, RECORD)
    frames.begin_text()
    console.file.write("the answer ")
    frames.show(2, COVER, RECORD)
    console.file.write("goes on\n")
    frames.end()
    return console.file.getvalue()


def test_frames_stand_below_each_other_where_there_is_no_terminal():
    written = run_through(Console(file=io.StringIO(), width=80))
    titles = re.findall(r"The cover that|Refocus \d", written)
    assert titles == ["The cover that", "Refocus 1", "Refocus 2"]
    assert "\x1b" not in written


@pytest.mark.parametrize("no_color", [False, True])
def test_frames_replace_each_other_on_a_terminal(no_color):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, no_color=no_color, _environ={"TERM": "xterm"})
    written = run_through(console)
    assert "\x1b[1A" in written  # back up, to draw over the frame before
    assert "the answer goes on\n" in written  # no frame tears it up
    assert written.index("Refocus 2") > written.index("goes on")


def test_a_dumb_terminal_gets_frames_below_each_other():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": "dumb"})
    assert "\x1b[1A" not in run_through(console)
