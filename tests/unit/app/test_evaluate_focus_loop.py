import hashlib

import numpy as np
import pytest
from tiny_keys import write_tiny_key_encoder, write_tiny_scorer

from mctool.app.evaluate.focus_loop import LoopMeter, widened
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.core.config import FocusConfig
from mctool.core.timeline import Timeline
from mctool.focus import plan_cover
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, TokenDocument
from mctool.training.packed_tree import answer_blocks, packed_tree


@pytest.fixture
def tokenizer(tiny_model_dir):
    return TextTokenizer.load(ModelFiles("tiny", tiny_model_dir))


@pytest.fixture
def walk(tokenizer):
    """Measures the loop on a text of 60 facts, of which three are asked for."""

    def measure(key_nets=None, config=None):
        facts = [hashlib.sha256(bytes([number])).hexdigest()[:12] for number in range(60)]
        text = " ".join(f"Nothing was seen of the ship in the harbour; code {fact} stood there." for fact in facts)
        ids, starts = tokenizer.encode_with_offsets(text)
        questions = [
            Question(f"What is {fact}?", 0, text.index(fact), text.index(fact) + 12, any_block=False)
            for fact in facts[10:40:10]
        ]
        one = Pack([TokenDocument("facts.txt", text, ids, starts)], questions)
        meter = LoopMeter(tokenizer, key_nets, config)
        with packed_tree(one, "tiny", tokenizer, key_nets) as tree:
            answers = [answer_blocks(tree, question) for question in questions]
            meter.measure(tree, Lenses(tree, key_nets, lambda _line: None), questions, answers)
            return meter.row("facts"), tree.timeline.total_blocks

    return measure


def test_the_loop_comes_to_rest_on_the_answer(walk):
    row, n_blocks = walk(config=FocusConfig(w_max=512))
    assert (row.set, row.lens, row.n, row.net_seconds) == ("facts", "lexical", 3, None)
    assert row.converged == row.recall == 1
    assert row.se == 0
    assert 2 <= row.iterations <= row.iterations_p90 <= 12
    assert 0 < row.swap_rate == row.settled_swap_rate < row.changed <= 1
    assert 0 < row.raw_tokens <= 160
    assert 32 < row.wide_entries <= n_blocks
    assert 0 < row.iteration_seconds < 10
    assert 0 < row.wide_iteration_seconds <= row.wide_loop_seconds


def test_a_loop_that_is_cut_short_has_not_come_to_rest(walk):
    row, _ = walk(config=FocusConfig(w_max=512, max_iterations=1))
    assert (row.converged, row.settled_swap_rate) == (0, None)
    assert row.iterations == row.iterations_p90 == 1
    assert row.swap_rate > 0


def test_with_a_lens_net_its_scoring_is_timed(walk, tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))
    write_tiny_key_encoder(tmp_path)
    write_tiny_scorer(tmp_path)
    row, _ = walk(KeyNets.find("cpu"))
    assert row.lens == "hybrid"
    assert 0 < row.net_seconds < row.lens_seconds + 1


def test_a_context_is_widened_from_the_first_entry_on():
    timeline = Timeline.of_documents([(0, 32 * 32 * 10)])
    cover = plan_cover(timeline, 10)
    assert cover.lod.tolist() == [2] * 10
    wide = widened(cover, 10 + 31 * 3 + 5)
    assert len(wide) == 10 + 31 * 3
    assert wide.lod.tolist() == [1] * 96 + [2] * 7
    assert wide.end_token[-1] == timeline.total_tokens


@pytest.mark.parametrize(("n_entries", "expected"), [(5, 10), (9999, 320)])
def test_widening_ends_at_blocks_and_never_narrows(n_entries, expected):
    wide = widened(plan_cover(Timeline.of_documents([(0, 32 * 32 * 10)]), 10), n_entries)
    assert len(wide) == expected
    assert np.all(wide.lod > 0)
