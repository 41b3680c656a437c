import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.errors import SourceError
from mctool.tree.content import SegmentBuffer, cut_blocks


@st.composite
def tokenised(draw):
    """A text with tokens that may lie several in one character, or span several, or skip some."""
    text = draw(st.text(st.sampled_from("ab \né漢𝄞\r"), min_size=1, max_size=120))
    starts = draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=150))
    return text, np.sort(np.array(starts, np.int64))


@given(tokenised())
def test_blocks_hold_the_exact_text_and_each_character_lies_with_its_first_token(case):
    text, starts = case
    blocks = cut_blocks("p", np.ones(len(starts), np.uint32), starts, text)
    assert b"".join(blocks.texts).decode() == text
    assert blocks.lengths.sum() == len(starts)
    for block, (start, piece) in enumerate(zip(blocks.char_start, blocks.texts, strict=True)):
        assert text[start:].startswith(piece.decode())
        assert blocks.line_start[block] == 1 + text[:start].count("\n")
        for char in range(start, start + len(piece.decode())):
            tokens = np.flatnonzero(starts == char)
            assert not len(tokens) or tokens[0] // 32 == block


def test_ids_are_padded_with_zeros_after_a_short_block():
    blocks = cut_blocks("p", np.full(33, 9, np.uint32), np.arange(33), "x" * 33)
    assert blocks.lengths.tolist() == [32, 1]
    assert blocks.ids[1].tolist() == [9] + [0] * 31


@pytest.mark.parametrize(("n_ids", "starts"), [(0, []), (2, [0]), (2, [1, 0]), (2, [0, 3]), (1, [-1])])
def test_arrays_that_describe_no_tokenised_document_are_refused(n_ids, starts):
    with pytest.raises(ValueError, match="char_starts"):
        cut_blocks("p", np.zeros(n_ids, np.uint32), np.array(starts, np.int64), "abc")


def test_a_lone_surrogate_is_refused():
    with pytest.raises(SourceError, match="not Unicode"):
        cut_blocks("p", np.zeros(1, np.uint32), np.zeros(1, np.int64), "\ud800")


def content_of(*texts):
    buffer = SegmentBuffer()
    for text in texts:
        buffer.append(cut_blocks("p", np.ones(len(text), np.uint32), np.arange(len(text)), text))
    return buffer.content()


def test_the_digest_tells_documents_apart_that_share_bytes(make_fingerprint):
    one, two = content_of("x" * 64), content_of("x" * 32, "x" * 32)
    assert np.array_equal(one.ids, two.ids)
    assert one.text == two.text
    assert one.digest(make_fingerprint()) != two.digest(make_fingerprint())
    assert one.digest(make_fingerprint()) == content_of("x" * 64).digest(make_fingerprint())
    assert one.digest(make_fingerprint()) != one.digest(make_fingerprint(gistnet="other"))
