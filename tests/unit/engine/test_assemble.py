import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mctool.core.config import FocusConfig
from mctool.core.errors import BudgetTooSmallError
from mctool.core.timeline import Timeline
from mctool.engine.assemble import TreeText, assemble, bare_window
from mctool.engine.prompt import GAP, name_line, prompt_ids
from mctool.engine.refocus import entry_budget, initial_context, refocus
from mctool.focus import WorkingContext
from mctool.focus.lens import UtilityLens
from mctool.nets.base_model import BaseModel
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

QUESTION = "Where did the captain go?"
MODES = ["squeeze", "compact", "absolute"]


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return BaseModel.load(ModelFiles("tiny", tiny_model_dir), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir):
    return TextTokenizer.load(ModelFiles("tiny", tiny_model_dir))


def document_tokens(timeline):
    """Token id (7 * position) % 500 + 3 at each position, as a tree gives tokens of blocks."""

    def tokens(blocks):
        starts, ends = timeline.token_start(blocks), timeline.token_start(blocks + 1)
        place = starts[:, None] + np.arange(32)
        return np.where(place < ends[:, None], ids_at(place), 0).astype(np.uint32), ends - starts

    return tokens


def ids_at(place):
    return 7 * np.asarray(place) % 500 + 3


def context_of(timeline, raw):
    """Blocks with these ranks raw, the others as LOD1."""
    lod = np.ones(timeline.total_blocks, np.int8)
    lod[list(raw)] = 0
    return WorkingContext(timeline, lod, timeline.blocks_at(np.arange(timeline.total_blocks)))


def window_of(base, tokenizer, context, text=None, *, scores=None, w_max=10_000, reserve=0, mode="squeeze"):
    text = text or TreeText(context.timeline, document_tokens(context.timeline))
    scores = np.zeros(len(context)) if scores is None else scores
    return assemble(context, scores, text, base, tokenizer, QUESTION, w_max=w_max, reserve=reserve, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_window_with_every_block_raw_gives_the_logits_of_plain_hugging_face(tiny_model_dir, base, tokenizer, mode):
    from transformers import AutoModelForCausalLM

    context = context_of(Timeline.of_documents([(3, 300)]), range(10))
    window = window_of(base, tokenizer, context, reserve=64, mode=mode)
    head, tail = prompt_ids(tokenizer, QUESTION)
    ids = torch.tensor([*head, *ids_at(range(300)), *tail])
    assert len(window) == len(ids)
    assert window.n_context == 300
    plain = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = plain(ids[None]).logits[0]
        found = base.logits(window.embeddings, window.positions)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_runs_are_led_by_names_and_gaps_and_followed_by_the_question(base, tokenizer):
    timeline = Timeline.of_documents([(0, 100), (4, 64), (6, 20)])
    context = context_of(timeline, [0, 2, 4, 5])
    window = window_of(
        base, tokenizer, context, TreeText(timeline, document_tokens(timeline), names=["a.md", "b.md", "c.md"])
    )
    head, tail = prompt_ids(tokenizer, QUESTION)
    gap = tokenizer.encode(GAP)
    expected = [
        *[*head, *tokenizer.encode(name_line("a.md")), *ids_at(range(32))],
        *[*gap, *ids_at(range(64, 96))],
        *[*gap, *tokenizer.encode(name_line("b.md")), *ids_at(range(100, 164))],
        *tail,
    ]
    torch.testing.assert_close(window.embeddings, base.embed(expected))
    assert window.n_context == 128
    assert (np.diff(window.positions) >= 1).all()


def test_names_and_gaps_that_do_not_fit_are_left_out_and_text_never_is(base, tokenizer):
    timeline = Timeline.of_documents([(0, 100), (4, 64)])
    context = context_of(timeline, [1, 3, 5])
    text = TreeText(timeline, document_tokens(timeline), names=["x" * 100, "y"])
    head, tail = prompt_ids(tokenizer, QUESTION)
    n_text = 32 + 4 + 32
    tight = window_of(base, tokenizer, context, text, w_max=len(head) + len(tail) + n_text)
    assert (len(tight), tight.n_context) == (len(head) + len(tail) + n_text, n_text)
    gap = len(tokenizer.encode(GAP))
    roomier = window_of(base, tokenizer, context, text, w_max=len(tight) + gap)
    assert len(roomier) == len(tight) + gap


def gist_of(lod, index):
    return np.full((1, 64), lod + index[0] / 100, np.float16)


def test_the_best_gists_after_the_first_raw_run_enter_in_order(base, tokenizer):
    timeline = Timeline.of_documents([(0, 320)])
    context = context_of(timeline, [2, 5])
    text = TreeText(timeline, document_tokens(timeline), gist_of, max_gists=2)
    scores = np.array([0.9, 0.8, 1, -0.5, -0.4, 1, -0.1, -0.9, -0.2, -0.8])
    window = window_of(base, tokenizer, context, text, scores=scores)
    gists = {slot: round(float(window.embeddings[slot, 0]) * 100 - 100) for slot in constant_slots(window)}
    # Block 0 and 1 score best but come before any raw text; of the others, 6 and 8 do.
    assert list(gists.values()) == [6, 8]
    assert window.n_context == 66
    plain = window_of(base, tokenizer, context)
    assert len(window) == len(plain) + 2
    kept = [slot for slot in range(len(window)) if slot not in gists]
    torch.testing.assert_close(window.embeddings[kept], plain.embeddings)
    last_raw = min(gists) - 1
    assert window.positions[min(gists)] - window.positions[last_raw] == 16  # block 6 by its central token


def constant_slots(window):
    """Slots whose embedding has one value everywhere."""
    return [slot for slot, row in enumerate(window.embeddings) if bool((row == row[0]).all())]


def test_gists_take_only_what_is_left_of_w_max(base, tokenizer):
    timeline = Timeline.of_documents([(0, 320)])
    context = context_of(timeline, [0])
    text = TreeText(timeline, document_tokens(timeline), gist_of, max_gists=9)
    plain = len(window_of(base, tokenizer, context))
    assert len(window_of(base, tokenizer, context, text)) == plain + 9
    assert len(window_of(base, tokenizer, context, text, w_max=plain + 3)) == plain + 3
    assert len(window_of(base, tokenizer, context, text, w_max=plain)) == plain


def test_without_raw_text_the_window_is_the_bare_question(base, tokenizer):
    timeline = Timeline.of_documents([(0, 320)])
    text = TreeText(timeline, document_tokens(timeline), gist_of, max_gists=9)
    window, bare = window_of(base, tokenizer, context_of(timeline, []), text), bare_window(base, tokenizer, QUESTION)
    torch.testing.assert_close(window.embeddings, bare.embeddings)
    assert (window.n_context, bare.n_context) == (0, 0)
    assert window.positions.tolist() == list(range(len(bare)))


@pytest.mark.parametrize("mode", MODES)
def test_a_window_beyond_the_trained_positions_is_refused(base, tokenizer, mode):
    context = context_of(Timeline.of_documents([(0, 470)]), range(15))
    n_prompt = sum(map(len, prompt_ids(tokenizer, QUESTION)))
    assert len(window_of(base, tokenizer, context, reserve=512 - 470 - n_prompt, mode=mode)) == 470 + n_prompt
    with pytest.raises(BudgetTooSmallError, match="needs 513 positions and the model was trained with 512"):
        window_of(base, tokenizer, context, reserve=513 - 470 - n_prompt, mode=mode)


documents = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 900)), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(documents, st.integers(20, 400), st.integers(0, 999), st.booleans(), st.sampled_from(MODES))
def test_no_window_has_more_slots_than_w_max(base, tokenizer, documents, w_max, seed, narrow, mode):
    block, extents = 0, []
    for gap, n_tokens in documents:
        extents.append((block + gap, n_tokens))
        block += gap + -(-n_tokens // 32)
    timeline = Timeline.of_documents(extents)
    config = FocusConfig(w_max=w_max)
    config = config if narrow else config.filled()
    n_prompt = sum(map(len, prompt_ids(tokenizer, QUESTION)))
    try:
        budget = entry_budget(config, n_prompt)
        start = initial_context(timeline, config, budget)
    except BudgetTooSmallError:
        assume(False)
    lens = UtilityLens("test", timeline, np.random.default_rng(seed).random(timeline.total_blocks))
    focus = refocus(start, lens, config, budget)
    names = [f"folder/{'long' * n}.txt" for n in range(len(extents))]
    text = TreeText(timeline, document_tokens(timeline), gist_of, max_gists=1000, names=names)
    window = window_of(base, tokenizer, focus.context, text, scores=focus.scores, w_max=w_max, mode=mode)
    assert len(window) <= w_max
    assert focus.context.cost + n_prompt <= w_max
    assert window.embeddings.shape == (len(window), 64)
    assert (np.diff(window.positions) >= 1).all()
    raw = focus.context.lod == 0
    assert int(focus.context.costs[raw].sum()) <= window.n_context <= focus.context.cost
