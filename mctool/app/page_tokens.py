"""Where tokens begin and end in the text of a page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import MctoolError
from mctool.core.page import PageText
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.tree import Tree

CONTEXT_BLOCKS = 2
"""Blocks around a run that are encoded with it, for what a token is can hang on its neighbours."""


def find_tokenizer(tree: Tree, model: str) -> TextTokenizer | None:
    """The tokenizer that made a tree, when ``model`` has it and is on this machine; nothing is fetched."""
    try:
        tokenizer = TextTokenizer.load(resolve_model(model, allow_download=False))
    except MctoolError:  # a page does without
        return None
    return tokenizer if tokenizer.fingerprint == tree.fingerprint.tokenizer else None


def with_tokens(tree: Tree, tokenizer: TextTokenizer, text: PageText) -> PageText:
    """``text`` with the characters of each token of each block.

    A tree stores ids, not offsets. The run is encoded again; a block whose ids then differ from those stored gets no
    tokens rather than wrong ones.
    """
    timeline = tree.timeline
    document = int(np.searchsorted(timeline.start_token, text.start_token, side="right")) - 1
    low, high = int(timeline.first_block[document]), int(timeline.end_block[document])
    first = low + (text.start_token - int(timeline.start_token[document])) // BLOCK_TOKENS
    blocks = np.arange(first, first + len(text.blocks))
    begin, end = max(first - CONTEXT_BLOCKS, low), min(int(blocks[-1]) + 1 + CONTEXT_BLOCKS, high)
    context = tree.text(begin, end)
    ids, starts = tokenizer.encode_with_offsets(context)
    bounds = np.append(starts, len(context))
    chars, _ = tree.char_ranges(np.append(begin, blocks), np.append(begin, blocks) + 1)
    stored, lengths = tree.tokens(blocks)
    tokens: list[list[int]] = []
    at = (chars[1:] - chars[0]).tolist()
    for row, n, start, block_text in zip(stored, lengths.tolist(), at, text.blocks, strict=True):
        place = int(np.searchsorted(starts, start))
        if not np.array_equal(ids[place : place + n], row[:n]):
            tokens.append([])
            continue
        own = bounds[place : place + n + 1].copy()
        own[[0, -1]] = start, start + len(block_text)  # a character at the end that goes on in the next block is here
        tokens.append(np.diff(own).tolist())
    return replace(text, tokens=tokens)
