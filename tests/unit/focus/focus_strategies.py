"""Random timelines and working contexts for the tests of focus."""

import numpy as np
from hypothesis import strategies as st

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS
from mctool.core.timeline import Timeline
from mctool.focus import Plan, WorkingContext, plan_cover


@st.composite
def timelines(draw, min_documents=1):
    """Timelines with holes, partial blocks and up to a few segments."""
    gaps = st.one_of(st.just(0), st.integers(1, 40), st.sampled_from([1000, SEGMENT_BLOCKS]))
    tokens = st.one_of(st.integers(1, 100), st.sampled_from([32, 1024, 1025, 5000]))
    block, extents = 0, []
    for gap, n_tokens in draw(st.lists(st.tuples(gaps, tokens), min_size=min_documents, max_size=8)):
        block += gap
        extents.append((block, n_tokens))
        block += -(-n_tokens // BLOCK_TOKENS)
    return Timeline.of_documents(extents)


def random_context(timeline: Timeline, seed: int) -> WorkingContext:
    """A working context of mixed levels: a uniform one, then expansions of random entries."""
    rng = np.random.default_rng(seed)
    context = plan_cover(timeline, timeline.n_nodes(int(rng.integers(1, 5))))
    for _ in range(int(rng.integers(0, 4))):
        gists = np.flatnonzero(context.lod > 0)
        some = gists[rng.random(len(gists)) < rng.random()]
        context = context.apply(Plan(expand=tuple(context.node(int(i)) for i in some)))
    return context


@st.composite
def contexts(draw, min_documents=1):
    return random_context(draw(timelines(min_documents)), draw(st.integers(0, 2**32 - 1)))
