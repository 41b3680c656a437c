import pytest
from tiny_keys import write_tiny_key_encoder

from mctool.app.evaluate import speed_keys
from mctool.app.evaluate.speed_keys import block_texts, measure_keys
from mctool.app.evaluate.speed_rows import seconds_in_turn
from mctool.core.errors import UsageError
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

TEXT = "The harbour master counted boats and checked papers. " * 40


@pytest.fixture
def files(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(speed_keys, "find_minilm", lambda: None)
    return ModelFiles("tiny", tiny_model_dir)


class Peer:
    """Takes the place of MiniLM, and notes what it reads."""

    def __init__(self, directory):
        self.read = directory

    def embed(self, texts):
        self.read.append(list(texts))


def test_minilm_reads_the_same_blocks_and_the_same_question(files, tmp_path, monkeypatch):
    read = []
    write_tiny_key_encoder(tmp_path)
    monkeypatch.setattr(speed_keys, "find_minilm", lambda: read)
    monkeypatch.setattr(speed_keys, "MiniLM", Peer)
    rows = list(measure_keys(TEXT, "Who counted boats?", files, lambda _line: None))
    blocks = block_texts(TEXT, TextTokenizer.load(files))
    assert read[0] == blocks
    assert "".join(read[1]) == "".join(blocks)
    assert len(read[1]) == -(-len(blocks) // 4)
    assert read[2] == ["Who counted boats?"]
    assert [(row.system, row.unit, row.baseline) for row in rows] == [
        ("key encoder", "tokens/s", "MiniLM, each block"),
        ("MiniLM, each block", "tokens/s", None),
        ("MiniLM, 4 blocks at once", "tokens/s", "MiniLM, each block"),
        ("key encoder", "ms", "MiniLM"),
        ("MiniLM", "ms", None),
    ]
    assert rows[0].ratio == pytest.approx(rows[0].value / rows[1].value)


def test_without_minilm_there_is_no_ratio_and_without_an_encoder_nothing(files, tmp_path):
    assert list(measure_keys(TEXT, "Who?", files, lambda _line: None)) == []
    write_tiny_key_encoder(tmp_path)
    rows = list(measure_keys(TEXT, "Who?", files, lambda _line: None))
    assert [(row.system, row.ratio) for row in rows] == [("key encoder", None)] * 2


def test_blocks_are_whole_and_in_order(files):
    tokenizer = TextTokenizer.load(files)
    blocks = block_texts(TEXT, tokenizer)
    assert TEXT.startswith("".join(blocks))
    assert len(blocks) == (len(tokenizer.encode(TEXT)) - 1) // 32
    with pytest.raises(UsageError, match="shorter than 32 tokens"):
        block_texts("short", tokenizer)


def test_runs_may_be_timed_by_another_clock():
    ticks = iter(range(0, 100, 5))
    assert seconds_in_turn({"a": lambda: next(ticks)}, 3, lambda: next(ticks)) == {"a": 10}
