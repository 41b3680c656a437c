import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mctool
from mctool.app import page as page_module
from mctool.app.page import page_of_trace, page_of_tree
from mctool.app.page_text import choose_text
from mctool.core.inspection import TracedAnswer, TracedQuestion, TraceStep
from mctool.core.records import Citation, FocusEntry, FocusIteration
from mctool.tree import DocumentMeta, Fingerprint, Tree, open_writer

TEXTS = {"long.txt": "".join(f"line {n} of the 🙂 log\n" for n in range(400)), "short.md": "one\ntwo\nthree\n"}
RECORD = FocusIteration(expanded=1, collapsed=0, swap_rate=0.25, cost=33, seconds=0.01)


@pytest.fixture(scope="module")
def make_tree(tmp_path_factory):
    """Makes a tree without gists of one token a character."""

    def make(texts):
        path = tmp_path_factory.mktemp("trees") / ".mctool"
        Tree.create(path, Fingerprint(model="m", tokenizer="t", vocab_size=256, d_model=4)).close()
        with open_writer(path, None) as writer:
            for name, text in texts.items():
                ids = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.uint32)
                meta = DocumentMeta(name, name, len(text), 0, "utf-8")
                writer.add(meta, ids, np.arange(len(text)), text)
            writer.commit(["source"], "0", mctool.core.records.DocumentCounts(added=len(texts)))
        return Tree.open(path)

    return make


@pytest.fixture(scope="module")
def tree(make_tree):
    with make_tree(TEXTS) as tree:
        yield tree


def entry(lod, start, end, path="long.txt"):
    return FocusEntry(lod, start, end, end - start if lod == 0 else 1, 0.5, path, start, end)


def traced(total, raw_start=64, n_raw=2, path="long.txt", answered=True):
    """A question whose last step shows ``n_raw`` blocks from ``raw_start`` on, and cites them."""
    end = raw_start + 32 * n_raw
    raw = [entry(0, start, start + 32, path) for start in range(raw_start, end, 32)]
    entries = [entry(2, 0, raw_start, path), *raw, entry(2, end, total, None)]
    text = TEXTS["long.txt"][raw_start:end]
    answer = TracedAnswer("this", True, [Citation(path, 3, 5, raw_start, end, text, 0.5)])
    step = TraceStep(1, [[1, 2]], [], RECORD, entries)
    return TracedQuestion("what?", 64, "/t", total, [entry(3, 0, total, None)], [step], answer if answered else None)


def test_a_small_tree_is_on_its_page_as_a_whole(tree):
    page = page_of_tree(tree, [])
    assert page.text_blocks == page.tree.blocks == tree.timeline.total_blocks
    assert {text for run in page.texts for text in ["".join(run.blocks)]} == set(TEXTS.values())
    assert page.documents.paths == list(TEXTS)
    for document, steps in zip(tree.documents, page.documents.line_steps, strict=True):
        lines = np.cumsum([1, *steps]).tolist()
        blocks = range(document.first_block, document.end_block)
        assert lines == [tree.span(block, block + 1).start_line for block in blocks]
    assert all(sum(sizes) == page.tree.tokens for sizes in page.levels.values())


def test_a_question_has_its_steps_and_citations(tree):
    total = tree.timeline.total_tokens
    (question,) = page_of_tree(tree, [traced(total)]).questions
    assert [step.iteration for step in question.steps] == [0, 1]
    assert all(sum(step.tokens) == total for step in question.steps)
    assert question.steps[1].cost == RECORD.cost
    (citation,) = question.citations
    assert (citation.start_token, citation.end_token, citation.delta_nats) == (64, 128, 0.5)


def test_text_in_focus_comes_before_all_other(tree):
    total = tree.timeline.total_tokens
    question = traced(total, raw_start=3200)
    described = page_of_tree(tree, [question]).questions
    for room, expected in ((110, {3200, 3232}), (400, {3168, 3200, 3232, 3264})):
        runs = choose_text(tree, described, described[0].citations, [], room)
        shown = {run.start_token + 32 * at for run in runs for at in range(len(run.blocks))}
        assert expected <= shown
        assert sum(len(json.dumps(text, ensure_ascii=False).encode()) for run in runs for text in run.blocks) <= room


@settings(max_examples=25, deadline=None)
@given(room=st.integers(0, 20_000), start=st.integers(0, 100))
def test_any_choice_of_text_is_exact_and_in_order(tree, room, start):
    question = page_of_tree(tree, [traced(tree.timeline.total_tokens, raw_start=32 * start + 32)]).questions
    runs = choose_text(tree, question, [], [], room)
    for run in runs:
        block = run.start_token if run.start_token < tree.documents[0].n_tokens else 0
        path = "long.txt" if block == run.start_token else "short.md"
        text = TEXTS[path]
        assert text[block : block + 32 * len(run.blocks)] == "".join(run.blocks)
        assert run.start_line == text[:block].count("\n") + 1
    assert all(before.start_token < after.start_token for before, after in pairwise(runs))


def test_questions_about_another_timeline_are_left_out(tree):
    total = tree.timeline.total_tokens
    page = page_of_tree(tree, [traced(total), traced(total + 32)])
    assert (len(page.questions), page.questions_left_out) == (1, 1)


def test_a_trace_without_a_tree_has_the_text_of_its_citations(tree):
    total = tree.timeline.total_tokens
    page = page_of_trace([traced(total), traced(total + 1)])
    assert not page.tree.is_open
    assert page.questions_left_out == 1
    (text,) = page.texts
    assert (text.start_token, "".join(text.blocks)) == (64, TEXTS["long.txt"][64:128])
    assert [len(block) for block in text.blocks] == [32, 32]
    assert page.documents.paths == ["long.txt"]


def test_what_does_not_fit_is_counted(tree, monkeypatch):
    monkeypatch.setattr(page_module, "QUESTION_BYTES", 10)
    monkeypatch.setattr(page_module, "NAMED_DOCUMENTS", 1)
    monkeypatch.setattr(page_module, "TOUCHED_NODES", 1)
    total = tree.timeline.total_tokens
    tree.record_access(cited=[(0, 1), (0, 2)])
    raw_start = tree.documents[0].n_blocks * 32
    page = page_of_tree(tree, [traced(total, answered=False)] * 3)
    assert (len(page.questions), page.questions_left_out) == (1, 2)
    assert (page.documents.paths, page.documents.left_out) == (["long.txt"], 1)
    assert (len(page.touched.nodes), page.touched.left_out) == (1, 1)
    assert raw_start > 0


def test_a_page_of_a_million_tokens_is_below_two_megabytes(make_tree):
    from mctool.render.html_page import render_page

    line = 'if "a" < b and c > d: return "<tag>&amp;"  # quoted\n'
    with make_tree({f"folder/module_{n}.py": line * 400 for n in range(52)}) as tree:
        assert tree.timeline.total_tokens > 1_000_000
        questions = [traced(tree.timeline.total_tokens, raw_start=32, n_raw=60, answered=False)] * 12
        html = render_page(page_of_tree(tree, questions))
    assert len(html.encode()) < 2_000_000
