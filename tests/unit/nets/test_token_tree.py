from hypothesis import given
from hypothesis import strategies as st

from mctool.nets.token_tree import TokenTree


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=8))
def test_each_token_sees_its_continuation_and_beginnings_are_held_once(texts):
    tree = TokenTree()
    paths = [tree.add(text) for text in texts]
    ids, sees = tree.ids, tree.sees
    for text, path in zip(texts, paths, strict=True):
        assert ids[path].tolist() == text
        for n, place in enumerate(path, 1):
            assert sees[place].nonzero().flatten().tolist() == sorted(path[:n])
    beginnings = {tuple(text[:n]) for text in texts for n in range(1, len(text) + 1)}
    assert len(tree) == len(ids) == len(beginnings)
