import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mctool.tree.centroids import PART_BLOCKS, PARTS, make_centroids, sign_products


def random_keys(n, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(-127, 128, (n, width), np.int8), rng.random(n).astype(np.float16)


@given(st.integers(1, 80), st.integers(1, 20))
def test_products_are_those_of_signs(n, width):
    keys, scale = random_keys(n, width, n)
    signs, scales = make_centroids(keys, scale)
    assert signs.shape == (-(-n // 32), PARTS, -(-width // 8))
    assert scales.shape == signs.shape[:2]
    query = np.random.default_rng(width).normal(size=width).astype(np.float32)
    found = sign_products(signs, query)
    for part in range(-(-n // PART_BLOCKS)):
        own = slice(part * PART_BLOCKS, (part + 1) * PART_BLOCKS)
        mean = (keys[own].astype(np.float64) * scale[own, None]).mean(axis=0)
        np.testing.assert_allclose(found.reshape(-1)[part], np.where(mean > 0, 1, -1) @ query, rtol=1e-4, atol=1e-4)
        exact = sign_products(signs, mean.astype(np.float32)) * scales
        np.testing.assert_allclose(exact.reshape(-1)[part], mean @ mean, rtol=2e-3)


def test_parts_without_blocks_or_words_have_no_scale():
    keys, scale = random_keys(40, 8)
    keys[4:8] = 0
    _, scales = make_centroids(keys, scale)
    assert (scales.reshape(-1) > 0).tolist() == [True, False, *[True] * 8, *[False] * 6]


def test_groups_join_without_a_seam():
    keys, scale = random_keys(8192 + 40, 8)
    whole = make_centroids(keys, scale)
    for found, first, rest in zip(
        whole, make_centroids(keys[:8192], scale[:8192]), make_centroids(keys[8192:], scale[8192:]), strict=True
    ):
        np.testing.assert_array_equal(found, np.concatenate([first, rest]))
