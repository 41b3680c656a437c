"""The page of a tree of a million tokens in a real browser: it is small, drawn at once, and leads to the exact text."""

import pytest
from headless import CHROMIUM, DRIVER, Browser

from mctool.app.ask import Reader
from mctool.app.evaluate.standard_library import modules
from mctool.app.page import page_of_tree
from mctool.app.traced_focus import traced_focus
from mctool.core.config import AskConfig
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.render.html_page import render_page
from mctool.sources.corpus import Pack, TokenDocument
from mctool.training.packed_tree import packed_tree
from mctool.tree import Tree

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
TOKENS = 1_000_000
QUESTION = "How is an option added to an argument parser?"
PAGE_BYTES = 2_000_000
PAGE_ELEMENTS = 2_000


@pytest.fixture(scope="module")
def large(tiny_model_dir, tmp_path_factory):
    """A page on disk, what it was made of, and its tree: sources of Python's library, focused on for a question."""
    files = ModelFiles(tiny_model_dir.name, tiny_model_dir)
    tokenizer = TextTokenizer.load(files)
    documents, n_tokens = [], 0
    for document in (one for documents in modules().values() for one in documents):
        documents.append(TokenDocument(document.path, document.text, *tokenizer.encode_with_offsets(document.text)))
        n_tokens += len(documents[-1].ids)
        if n_tokens >= TOKENS:
            break
    file = tmp_path_factory.mktemp("pages") / "large.html"
    with packed_tree(Pack(documents, []), files.name, tokenizer) as tree:
        with Reader(tree.path, str(tiny_model_dir), "cpu") as reader:
            traced = traced_focus(reader, QUESTION, AskConfig(lens="lexical"))
        file.write_text(render_page(page_of_tree(tree, [traced], tokenizer)), encoding="utf-8")
        yield file, traced, tree


@pytest.fixture(scope="module")
def browser(large, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(large[0].as_uri())
        yield browser


@pytest.fixture(autouse=True)
def no_error(browser):
    yield
    assert [entry for entry in browser.console() if entry["level"] != "DEBUG"] == []


def press(browser, *keys):
    browser.run("document.getElementById('map').focus()")
    browser.press(*keys)


def text_at(tree: Tree, index: int) -> str:
    return tree.span(index, index + 1).text


def test_it_is_small_and_drawn_at_once(large, browser, record_property):
    file, traced, _ = large
    assert traced.tokens >= TOKENS
    assert file.stat().st_size < PAGE_BYTES
    assert browser.count("*") < PAGE_ELEMENTS
    taken = browser.run("return performance.getEntriesByName('first draw')[0].duration")
    record_property("first_draw_ms", taken)  # not bounded: a machine with other work on it may take as long as it likes
    assert taken > 0
    print(f"\nfirst draw of {traced.tokens:,} tokens after {taken:.0f} ms; {file.stat().st_size:,} bytes")  # noqa: T201


def test_keys_alone_lead_from_the_whole_to_the_exact_text_of_a_block(large, browser):
    _, traced, tree = large
    press(browser, "Escape")
    assert browser.text("range") == f"tokens 0-{traced.tokens:,} of {traced.tokens:,}"
    press(browser, "c", "Enter")
    cited = traced.answer.citations[0]
    shown = browser.text("entry-text")
    assert shown
    assert cited.text.startswith(shown)
    index = int(browser.text("entry-title").removeprefix("Entry 0:"))
    assert shown == text_at(tree, index)
    press(browser, "r")
    index = int(browser.text("entry-title").removeprefix("Entry 0:"))
    assert browser.text("entry-text") == text_at(tree, index)


def test_keys_alone_step_through_the_refocusing(large, browser):
    _, traced, _ = large
    last = len(traced.steps)
    press(browser, *"p" * (last + 1))
    assert browser.text("step-title") == f"0 of {last}. The first cover"
    for number, step in enumerate(traced.steps, 1):
        press(browser, "n")
        title = f"{number} of {last}. Refocus {number}: {step.record.expanded} expanded"
        assert browser.text("step-title").startswith(title)
        assert f"{step.record.cost:,} of {traced.w_max:,} tokens" in browser.text("budget-text")
    assert browser.count("#step-on:disabled") == 1


def test_zooming_in_and_out_keeps_within_the_timeline(large, browser):
    press(browser, "Escape", *"+" * 20)
    start, end = (int(part.replace(",", "")) for part in browser.text("range").split()[1].split("-"))
    assert 0 <= start < end <= TOKENS + 100_000
    assert end - start < 1_000
    press(browser, *"-" * 20)
    assert browser.text("range").startswith("tokens 0-")
