import numpy as np
import pytest
import torch

from mctool.core.errors import MismatchError, ResourceError
from mctool.engine.gisting import TorchGistBuilder
from mctool.nets.gistnet import GistNet, GistNetConfig

TABLE = torch.randn(512, 64, generator=torch.Generator().manual_seed(0)).half()
IDS = np.random.default_rng(0).integers(0, 512, (13, 32)).astype(np.uint32)
N_TOKENS = np.array([32] * 6 + [1] + [32] * 5 + [17], dtype=np.int64)


def make_net() -> GistNet:
    net = GistNet.for_embeddings(TABLE, GistNetConfig(width=32, head_width=16, slot_mlp_ratio=2))
    torch.nn.init.normal_(net.out.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    return net


NET = make_net()
BUILDER = TorchGistBuilder(NET, TABLE)


def test_leaves_are_the_gists_of_the_live_tokens():
    gists = BUILDER.leaves(IDS, N_TOKENS)
    assert gists.shape == (13, 64)
    assert gists.dtype == np.float16
    mask = torch.arange(32) < torch.from_numpy(N_TOKENS)[:, None]
    with torch.inference_mode():
        expected = NET(TABLE[torch.from_numpy(IDS.astype(np.int64))], mask, 1)
    np.testing.assert_allclose(gists, expected.numpy(), atol=4e-3)


def test_padding_does_not_matter_even_outside_the_vocabulary():
    padded = IDS.copy()
    padded[np.arange(32) >= N_TOKENS[:, None]] = 2**32 - 1
    np.testing.assert_array_equal(BUILDER.leaves(padded, N_TOKENS), BUILDER.leaves(IDS, N_TOKENS))


def test_a_token_outside_the_vocabulary_is_refused():
    ids = IDS.copy()
    ids[2, 3] = 512
    with pytest.raises(MismatchError, match="token id 512 lies outside the 512 embeddings"):
        BUILDER.leaves(ids, N_TOKENS)


@pytest.mark.parametrize("batch_blocks", [1, 4, 13])
def test_the_batch_size_does_not_change_gists(batch_blocks):
    gists = TorchGistBuilder(NET, TABLE, batch_blocks).leaves(IDS, N_TOKENS)
    np.testing.assert_allclose(gists, BUILDER.leaves(IDS, N_TOKENS), atol=4e-3)


def test_parents_have_the_last_one_short():
    gists = np.random.default_rng(1).normal(size=(70, 64)).astype(np.float16)
    parents = BUILDER.parents(gists, np.ones(70, bool), lod=2)
    assert parents.shape == (3, 64)
    assert parents.dtype == np.float16
    mask = torch.arange(32)[None] < 6
    children = torch.zeros(1, 32, 64)
    children[0, :6] = torch.from_numpy(gists[64:]).float()
    with torch.inference_mode():
        np.testing.assert_allclose(parents[2:], NET(children, mask, 2).numpy(), atol=4e-3)


def test_retired_children_do_not_count_and_a_parent_without_live_ones_is_zeros():
    gists = np.random.default_rng(2).normal(size=(96, 64)).astype(np.float16)
    live = np.ones(96, bool)
    live[[3, 40]] = False
    live[64:] = False
    parents = BUILDER.parents(gists, live, lod=3)
    assert not parents[2].any()
    assert (parents[:2] != BUILDER.parents(gists[:64], np.ones(64, bool), lod=3)).any(axis=1).all()
    gists[~live] = np.nan
    np.testing.assert_array_equal(BUILDER.parents(gists, live, lod=3), parents)


def test_nothing_gives_nothing():
    assert BUILDER.leaves(IDS[:0], N_TOKENS[:0]).shape == (0, 64)
    assert BUILDER.parents(np.zeros((0, 64), np.float16), np.zeros(0, bool), 2).shape == (0, 64)


class SmallDevice(torch.nn.Module):
    """A net on a device that holds only so many blocks at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.base_width, self.target_norm, self.room, self.batches = 64, NET.target_norm, room, []

    def forward(self, children, mask, level):
        if len(children) > self.room:
            raise torch.OutOfMemoryError("full")
        self.batches.append(len(children))
        return NET(children, mask, level)


def test_the_batch_is_halved_when_the_device_is_full():
    net = SmallDevice(room=4)
    gists = TorchGistBuilder(net, TABLE, 13).leaves(IDS, N_TOKENS)
    assert net.batches == [3, 3, 3, 3, 1]
    np.testing.assert_allclose(gists, BUILDER.leaves(IDS, N_TOKENS), atol=4e-3)


def test_a_device_that_cannot_hold_one_block_is_an_error():
    with pytest.raises(ResourceError, match="one block does not fit"):
        TorchGistBuilder(SmallDevice(room=0), TABLE).leaves(IDS, N_TOKENS)


def test_gists_that_float16_cannot_hold_are_refused():
    net = make_net()
    torch.nn.init.constant_(net.out.bias, 1e6)
    with pytest.raises(MismatchError, match="LOD1 gists outside the range of float16"):
        TorchGistBuilder(net, TABLE).leaves(IDS, N_TOKENS)


def test_a_table_of_another_width_is_refused():
    with pytest.raises(MismatchError, match="width 32, GistNet was made for 64"):
        TorchGistBuilder(NET, TABLE[:, :32])
