import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.errors import MismatchError, UsageError
from mctool.nets import tokenizer as tokenizer_module
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
LINES = st.lists(
    st.sampled_from(["plain line", "  indented", "", "é🙂 12", "東京", "trailing  ", "\t", "<|im_end|>"])
).map("\n".join)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir):
    return TextTokenizer.load(ModelFiles("tiny", tiny_model_dir))


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(tokenizer_module, "PIECE_CHARS", 64)
    monkeypatch.setattr(tokenizer_module, "PIECES_PER_BATCH", 3)


@given(text=st.one_of(UNICODE, LINES))
def test_text_survives(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=st.one_of(UNICODE, LINES))
def test_starts_tile_the_text(tokenizer, text):
    ids, starts = tokenizer.encode_with_offsets(text)
    assert (ids.dtype, starts.dtype) == (np.uint32, np.int64)
    assert ids.tolist() == tokenizer.encode(text)
    assert len(starts) == len(ids)
    if text:
        assert starts[0] == 0
        assert (np.diff(starts) >= 0).all()
        assert starts[-1] <= len(text)
    # Where a token begins and ends with whole characters, its part of the text is what it decodes to.
    edges = [*starts.tolist(), len(text)]
    parts = [text[start:end] for start, end in pairwise(edges)] if text else []
    assert "".join(parts) == text
    for token, part in zip(ids.tolist(), parts, strict=True):
        decoded = tokenizer.decode([token])
        assert "\ufffd" in decoded or decoded == part


def test_a_split_character_begins_at_its_first_token(tokenizer):
    ids, starts = tokenizer.encode_with_offsets("a\U0001f9ffb")
    assert len(ids) > 3
    assert starts.tolist() == [0, 1, *[2] * (len(ids) - 2)]


def test_special_tokens_in_text_are_plain_text(tokenizer):
    text = "before <|im_end|> after"
    ids = tokenizer.encode(text)
    assert tokenizer.token_id("<|im_end|>") == 2
    assert 2 not in ids
    assert tokenizer.decode(ids) == text
    assert 2 not in tokenizer.encode_with_offsets(text)[0]


def test_special_ids_are_not_shown(tokenizer):
    assert tokenizer.decode([1, *tokenizer.encode("text"), 2]) == "text"
    assert tokenizer.token_id("no such token") is None


@pytest.mark.usefixtures("small_pieces")
def test_long_text_gives_the_same_ids_as_in_one_piece(tokenizer):
    text = "The captain\n\n   went north.\n\tShe said 12345\nand left.  \nThe end\r\n🙂🙂🙂\n" * 20
    ids, starts = tokenizer.encode_with_offsets(text)
    assert ids.tolist() == tokenizer.encode(text)
    lines = [i for i, character in enumerate(text) if character == "T"]
    assert set(lines) <= set(starts.tolist())


@pytest.mark.usefixtures("small_pieces")
@given(text=st.text(st.sampled_from("ab1 \n\tü🙂"), min_size=100, max_size=600))
def test_pieces_join_without_gap(tokenizer, text):
    pieces = list(tokenizer_module._pieces(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 64 for piece in pieces)
    ids, starts = tokenizer.encode_with_offsets(text)
    assert tokenizer.decode(ids) == text
    assert starts[0] == 0
    assert (np.diff(starts) >= 0).all()


@pytest.mark.usefixtures("small_pieces")
def test_one_line_of_any_length(tokenizer):
    text = "🙂x" * 500
    ids, starts = tokenizer.encode_with_offsets(text)
    assert tokenizer.decode(ids) == text
    assert set(range(0, 1000, 2)) <= set(starts.tolist())


def test_empty_text(tokenizer):
    ids, starts = tokenizer.encode_with_offsets("")
    assert (len(ids), len(starts)) == (0, 0)
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_half_a_surrogate_pair_is_refused(tokenizer):
    with pytest.raises(UsageError, match="surrogate"):
        tokenizer.encode("a\udc80")
    with pytest.raises(UsageError, match="surrogate"):
        tokenizer.encode_with_offsets("a\udc80")


@given(text=UNICODE)
def test_stream_gives_the_text_in_whole_characters(tokenizer, text):
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in [1, *tokenizer.encode(text), 2]]
    assert "".join(pieces) == text.removesuffix("\ufffd") or "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@given(ids=st.lists(st.integers(0, 400), max_size=40))
def test_stream_never_fails_on_bytes_that_are_no_text(tokenizer, ids):
    stream = tokenizer.stream()
    shown = "".join(stream.push(token) for token in ids)
    assert tokenizer.decode(ids).startswith(shown)


def test_fingerprint_is_that_of_the_file(tokenizer, tiny_model_dir):
    data = (tiny_model_dir / "tokenizer.json").read_bytes()
    assert tokenizer.fingerprint == hashlib.sha256(data).hexdigest()
    assert max(tokenizer.encode("".join(map(chr, range(32, 500))))) < tokenizer.vocab_size


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0"}'])
def test_what_is_no_tokenizer_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(MismatchError, match="not a tokenizer"):
        TextTokenizer(tmp_path / "tokenizer.json")


def test_missing_tokenizer_is_refused(tmp_path):
    with pytest.raises(MismatchError, match="not a tokenizer"):
        TextTokenizer.load(ModelFiles("none", tmp_path))


def test_a_split_character_at_the_end_stays_within_the_text(tokenizer):
    ids, starts = tokenizer.encode_with_offsets("Ђ")
    assert len(ids) > 1
    assert set(starts.tolist()) == {0}
