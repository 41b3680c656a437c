import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.page import Page, PageDocuments, PageQuestion, PageStep, PageText, PageTouched, PageTree
from mctool.render.html_page import render_page


def page_with(text="text", question="what?", path="a.py"):
    step = PageStep(0, 0, 0, 0.0, 32, 0.0, [0], [32], [0.5])
    return Page(
        version=1,
        made_by="mctool",
        tree=PageTree("/t", 32, 1, 1, "m", True),
        documents=PageDocuments([path], [0], [32], [0], [[]], 0),
        levels={},
        touched=PageTouched([], 0),
        questions=[PageQuestion(question, 64, [step], None, False, [])],
        questions_left_out=0,
        texts=[PageText(0, 1, [text])],
        text_blocks=1,
    )


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.mark.parametrize(
    "text",
    ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028\u2029", "@SCRIPT@ @DATA@", "\ud83d \0"],
)
def test_text_stays_text(text):
    html = render_page(page_with(text, question=text, path=text))
    assert html.count("<script") == html.count("</script>") == 2
    data = data_of(html)
    assert data["texts"][0]["blocks"] == [text]
    assert data["documents"]["paths"] == [text]
    html.encode()


@given(st.text(st.characters(codec=None)))
def test_any_text_is_read_back(text):
    assert data_of(render_page(page_with(text)))["texts"][0]["blocks"] == [text]


def test_the_page_may_load_nothing():
    html = render_page(page_with())
    assert "default-src 'none'" in html
    assert re.findall(r"https?://", html.replace("http://www.w3.org", "")) == []
    assert not re.search(r"@[A-Z]+@", html)


def test_scripts_put_no_html_in():
    html = render_page(page_with())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", html)


def test_the_title_is_the_question_on_one_line():
    assert "<title>why &lt;b&gt; &amp; why? - mctool</title>" in render_page(page_with(question="why <b>\n & why?"))
