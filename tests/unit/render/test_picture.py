import re
from xml.etree import ElementTree

import pytest
from rich.text import Text

from mctool.render.picture import Frame, export_animation
from mctool.render.reach import render_reach

SVG = "{http://www.w3.org/2000/svg}"
FRAMES = [Frame([Text("one")], 1.0), Frame([Text("two"), Text("lines")], 2.0), Frame([Text("the end")], 5.0)]


@pytest.fixture(scope="module")
def picture():
    return export_animation(FRAMES, 40, "a <b>title</b>")


def test_each_frame_stands_in_one_picture(picture):
    root = ElementTree.fromstring(picture)
    groups = [one for one in root.iter(f"{SVG}g") if "frame" in one.get("class", "").split()]
    said = [" ".join("".join(one.itertext()).replace("\xa0", " ").split()) for one in groups]
    assert [text.split("</b>")[-1].strip() for text in said] == ["one", "twolines", "the end"]
    assert len({one.get("height") for group in groups for one in group.findall(f"{SVG}rect")}) == 1
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


def test_frames_follow_each_other_by_their_seconds(picture):
    assert "@keyframes frame-0{0.000%{visibility:visible}12.500%,100%{visibility:hidden}}" in picture
    assert (
        "@keyframes frame-1{0%{visibility:hidden}12.500%{visibility:visible}37.500%,100%{visibility:hidden}}" in picture
    )
    assert "@keyframes frame-2{0%{visibility:hidden}37.500%{visibility:visible}}" in picture
    assert picture.count("animation:") == picture.count(" 8s step-end infinite") == 3


def test_without_motion_the_last_frame_is_seen(picture):
    still, _, moving = picture.partition("@media (prefers-reduced-motion:no-preference)")
    assert ".frame{visibility:hidden}.frame-2{visibility:visible}" in still
    assert "animation" not in still
    assert "animation" in moving


def test_it_runs_nothing_and_loads_nothing(picture):
    assert "<script" not in picture
    assert not re.findall(r"https?://(?!www\.w3\.org|www\.textualize\.io)", picture)
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", picture)


@pytest.mark.parametrize(
    ("spans", "n_documents", "told"),
    [
        (
            [(0, 32, 1.0, "a.py"), (1, 32, 0.0, "a.py"), (2, 1024, 0.0, "b.py"), (0, 32, 0.5, "b.py")], 5,
            "███ read: 64 of 1,120 tokens (5.7%), 2 passages in 2 of 5 documents   ▒░ left out: all the rest",
        ),
        ([(0, 32, 1.0, "a.py")], None, "███ read: 32 of 32 tokens (100.0%), 1 passage in 1 document"),
        (
            [(2, 1024, 0.0, "a.py")], 1,
            "███ read: 0 of 1,024 tokens (0.0%), 0 passages in 0 of 1 documents   ░ left out: all the rest",
        ),
    ],
)  # fmt: skip
def test_what_was_read_is_told_in_words(tile, spans, n_documents, told):
    assert render_reach(tile(*spans), n_documents).plain == told
