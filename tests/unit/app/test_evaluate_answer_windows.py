import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mctool.app.evaluate.answer_windows import ChunkRankings, RawWindows, oracle_blocks
from mctool.app.evaluate.signals import TreeBlocks
from mctool.core.errors import BudgetTooSmallError
from mctool.engine.assemble import TreeText, assemble
from mctool.engine.prompt import tail_ids
from mctool.focus import WorkingContext
from mctool.nets.base_model import BaseModel
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, TokenDocument
from mctool.training.packed_tree import packed_tree

WORDS = ["harbour", "lantern", "storm", "keeper", "letter", "bridge", "orchard", "violin"]


@pytest.fixture(scope="module")
def files(tiny_model_dir):
    return ModelFiles(tiny_model_dir.name, tiny_model_dir)


@pytest.fixture(scope="module")
def tokenizer(files):
    return TextTokenizer.load(files)


@pytest.fixture(scope="module")
def tree(files, tokenizer):
    """Three documents of about 15, 1 and 11 blocks."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, n)) for n in (180, 3, 130)]
    texts[2] += " The zeppelin landed."
    documents = [
        TokenDocument(f"d{place}", text, *tokenizer.encode_with_offsets(text)) for place, text in enumerate(texts)
    ]
    with packed_tree(Pack(documents, []), files.name, tokenizer) as tree:
        yield tree


def test_the_layout_is_that_of_ask(tree, files, tokenizer):
    model, question = BaseModel.load(files, "cpu", "float32"), "Where is it?"
    ranks = np.array([1, 2, 5, 15, 20])
    lod = np.ones(tree.timeline.total_blocks, np.int64)
    lod[ranks] = 0
    context = WorkingContext(tree.timeline, lod, tree.timeline.blocks_at(np.arange(len(lod))))
    text = TreeText(tree.timeline, tree.tokens, names=[document.path for document in tree.documents])
    window = assemble(
        context, np.zeros(len(lod)), text, model, tokenizer, question, w_max=400, reserve=0, mode="compact"
    )
    ids = RawWindows(tree, tokenizer).ids(ranks) + tail_ids(tokenizer, question)
    assert np.array_equal(model.embed(ids), window.embeddings)
    assert window.positions.tolist() == list(range(len(ids)))


@given(
    units=st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True), max_size=12),
    slots=st.integers(6, 500),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_best_units_are_shown_as_far_as_the_budget_goes(tree, tokenizer, units, slots):
    windows = RawWindows(tree, tokenizer)
    arrays = [np.array(sorted(unit)) for unit in units]
    ids, ranks = windows.fit(arrays, slots)
    assert len(ids) <= slots
    assert windows.ids(ranks) == ids
    unions = [windows.ids(np.unique(np.concatenate([np.zeros(0, int), *arrays[:n]]))) for n in range(len(arrays) + 1)]
    shown = [n for n, union in enumerate(unions) if union == ids]
    assert shown, "it is the union of the first few units"
    assert shown[-1] == len(arrays) or len(unions[shown[-1] + 1]) > slots, "one more would not fit"


def test_a_budget_below_the_prompt_is_refused(tree, tokenizer):
    with pytest.raises(BudgetTooSmallError, match="does not fit into 1"):
        RawWindows(tree, tokenizer).fit([], 1)


def test_chunks_without_a_term_of_the_question_are_not_retrieved(tree):
    chunks = ChunkRankings(tree, None).bm25("Where did the zeppelin land?")
    last = tree.timeline.total_blocks - 1
    assert 1 <= len(chunks) <= 2
    assert all(last in chunk for chunk in chunks)
    assert ChunkRankings(tree, None).bm25("Gryzwald?") == []


class Encoder:
    """Likes texts with a z."""

    calls = 0

    def embed(self, texts):
        Encoder.calls += 1
        return np.array([[1, 0] if "z" in text else [0, 1] for text in texts], np.float32)


def test_the_hybrid_ranks_all_chunks_and_reads_them_once(tree):
    Encoder.calls = 0
    rankings = ChunkRankings(tree, Encoder())
    for question in ("zzz", "zeppelin"):
        ranked = rankings.hybrid(question)
        assert len(ranked) == len(TreeBlocks.of(tree).chunks())
        assert tree.timeline.total_blocks - 1 in ranked[0]
    assert Encoder.calls == 3
    with pytest.raises(ValueError, match="encoder"):
        ChunkRankings(tree, None).hybrid("zzz")


def question(document, start, end, **more):
    return Question("?", document, start, end, **({"any_block": False} | more))


def test_the_oracle_shows_the_answer_and_a_block_on_each_side(tree):
    starts, _ = tree.char_ranges(np.arange(4, 7), np.arange(5, 8))
    inside = int(starts[0]) + 1
    assert oracle_blocks(tree, question(0, inside, inside + 2)).tolist() == [3, 4, 5]
    assert oracle_blocks(tree, question(0, inside, int(starts[1]) + 1)).tolist() == [3, 4, 5, 6]
    assert oracle_blocks(tree, question(0, 0, 1)).tolist() == [0, 1]
    _, second, third, end = tree.timeline.start_rank.tolist()
    assert oracle_blocks(tree, question(1, 0, 1)).tolist() == list(range(second, third)), "other documents stay out"
    n_chars = tree.documents[2].n_chars
    assert oracle_blocks(tree, question(2, n_chars - 1, n_chars)).tolist() == [end - 2, end - 1]


def test_the_oracle_shows_256_tokens_of_evidence_and_of_a_function_from_its_definition_on(tree):
    n_chars = tree.documents[0].n_chars
    starts, _ = tree.char_ranges(np.arange(3), np.arange(1, 4))
    evidence = oracle_blocks(tree, question(0, int(starts[2]), n_chars, quoted=False))
    assert evidence.tolist() == list(range(1, 11))
    function = question(0, int(starts[2]), n_chars, any_block=True, def_start=int(starts[1]))
    assert oracle_blocks(tree, function).tolist() == list(range(10))
