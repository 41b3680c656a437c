import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from mctool.core.errors import MismatchError
from mctool.nets.gistnet import GistNet, GistNetConfig, SlotRead, fit_importance

VOCAB, WIDTH = 512, 64
CONFIG = GistNetConfig(width=32, head_width=16, slot_mlp_ratio=2)


def make_table() -> torch.Tensor:
    """Random embeddings in which one direction tells how rare a token is, as real tables do."""
    table = torch.randn(VOCAB, WIDTH, generator=torch.Generator().manual_seed(1)) * 0.2
    table[:, 0] += torch.log1p(torch.arange(VOCAB)) - 5.0
    return table


TABLE = make_table()


def make_net(trained: bool = False) -> GistNet:
    net = GistNet.for_embeddings(TABLE, CONFIG)
    if trained:
        torch.nn.init.normal_(net.out.weight, std=0.1, generator=torch.Generator().manual_seed(2))
    return net


def make_children(n_blocks: int, seed: int = 0) -> torch.Tensor:
    return TABLE[torch.randint(0, VOCAB, (n_blocks, 32), generator=torch.Generator().manual_seed(seed))]


def test_the_default_net_for_a_base_of_width_576_has_3_7_million_parameters():
    assert sum(parameter.numel() for parameter in GistNet(576, GistNetConfig()).parameters()) == pytest.approx(
        3.7e6, rel=0.02
    )


def test_an_untrained_net_gives_exactly_the_start():
    net, children = make_net(), make_children(5)
    mask = torch.rand(5, 32) < 0.7
    assert torch.equal(net(children, None, 1), net.start(children, None))
    assert torch.equal(net(children, mask, 2), net.start(children.masked_fill(~mask[..., None], 0), mask))


def test_an_untrained_net_is_the_same_every_time_and_for_every_seed():
    children = make_children(3)
    again, other = GistNet.for_embeddings(TABLE, CONFIG), GistNet.for_embeddings(TABLE, CONFIG, seed=7)
    for name, value in make_net().state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(other.into.weight, again.into.weight)
    assert torch.equal(other(children, None, 1), again(children, None, 1))


def test_the_start_has_the_mean_norm_of_the_table():
    norms = make_net()(make_children(6), None, 1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full((6,), float(TABLE.norm(dim=1).mean())))


def test_the_start_leans_to_the_rarest_token_far_more_than_a_mean_does():
    ids = torch.randint(1, 20, (8, 32), generator=torch.Generator().manual_seed(3))
    ids[:, 11] = 450
    rarest = TABLE[450].expand(8, -1)
    start = make_net()(TABLE[ids], None, 1)
    assert (F.cosine_similarity(start, rarest) > 0.95).all()
    assert (F.cosine_similarity(TABLE[ids].mean(1), rarest) < 0.5).all()


def test_importance_follows_the_rank_of_tokens_and_leaves_special_tokens_out():
    weight, bias = fit_importance(TABLE)
    score = TABLE @ weight + bias
    rank = torch.log1p(torch.arange(VOCAB))
    assert torch.corrcoef(torch.stack([score, rank]))[0, 1] > 0.95
    assert float(score.mean()) == pytest.approx(float(rank.mean()), abs=1e-3)
    odd = TABLE.clone()
    odd[:4] = 100.0
    expected = GistNet.for_embeddings(TABLE, CONFIG, n_special=4)
    got = GistNet.for_embeddings(odd, CONFIG, n_special=4)
    torch.testing.assert_close(got.importance_weight, expected.importance_weight)
    torch.testing.assert_close(got.target_norm, expected.target_norm)


@given(n_live=st.integers(1, 31), level=st.integers(1, 4), rubbish=st.sampled_from([0.0, 1e30, math.nan, math.inf]))
@settings(max_examples=20, deadline=None)
def test_what_stands_in_dead_children_does_not_matter(n_live: int, level: int, rubbish: float):
    net, children = make_net(trained=True), make_children(2)
    mask = (torch.arange(32) < n_live).expand(2, 32)
    spoilt = children.masked_fill(~mask[..., None], rubbish)
    with torch.inference_mode():
        assert torch.equal(net(children, mask, level), net(spoilt, mask, level))


def test_a_block_without_live_children_gives_zeros_and_does_not_touch_the_others():
    net, children = make_net(trained=True), make_children(3)
    mask = torch.ones(3, 32, dtype=torch.bool)
    mask[1] = False
    gists = net(children, mask, 2)
    assert torch.equal(gists[1], torch.zeros(WIDTH))
    torch.testing.assert_close(gists[[0, 2]], net(children[[0, 2]], None, 2), atol=1e-5, rtol=0)
    gists.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_the_level_matters_once_trained():
    children = make_children(2)
    assert torch.equal(make_net()(children, None, 1), make_net()(children, None, 2))
    net = make_net(trained=True)
    assert not torch.allclose(net(children, None, 1), net(children, None, 2), atol=1e-4)


def test_the_order_of_children_matters_once_trained():
    net, children = make_net(trained=True), make_children(2)
    assert not torch.allclose(net(children, None, 1), net(children.flip(1), None, 1), atol=1e-4)


def test_every_block_is_gisted_for_itself():
    net, children = make_net(trained=True), make_children(24)
    mask = torch.rand(24, 32, generator=torch.Generator().manual_seed(4)) < 0.8
    order = torch.randperm(24, generator=torch.Generator().manual_seed(5))
    whole = net(children, mask, 1)
    torch.testing.assert_close(net(children[order], mask[order], 1), whole[order], atol=1e-5, rtol=0)
    parts = [net(children[i : i + 5], mask[i : i + 5], 1) for i in range(0, 24, 5)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=0)


def test_reading_with_folded_projections_equals_ordinary_attention():
    torch.manual_seed(0)
    read = SlotRead(CONFIG)
    torch.nn.init.normal_(read.key, std=0.2)
    torch.nn.init.normal_(read.value, std=0.2)
    slot, children = torch.randn(4, 32), torch.randn(4, 32, 32)
    normed = read.child_norm(children)
    query = read.query(read.slot_norm(slot)).view(4, 2, 1, 16)
    key = torch.einsum("bkw,hew->bhke", normed, read.key)
    value = torch.einsum("bkw,hew->bhke", normed, read.value)
    plain = slot + read.out(F.scaled_dot_product_attention(query, key, value).reshape(4, 32))
    torch.testing.assert_close(read(slot, children, None), plain + read.mlp(plain), atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient():
    net = make_net(trained=True)
    (net(make_children(8), None, 1) * torch.randn(8, WIDTH)).sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_net_overfits_eight_blocks():
    torch.manual_seed(0)
    net, children = make_net(), make_children(8)
    ids = torch.randint(0, VOCAB, (8,))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(150):
        loss = F.cross_entropy(net(children, None, 1) @ TABLE.T, ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


@pytest.mark.parametrize(
    ("children", "mask", "level", "message"),
    [
        (torch.zeros(2, 31, WIDTH), None, 1, r"\[2, 31, 64\], expected \[B, 32, 64\]"),
        (torch.zeros(2, 32, 8), None, 1, r"\[2, 32, 8\], expected \[B, 32, 64\]"),
        (torch.zeros(2, 32, WIDTH), torch.ones(2, 31).bool(), 1, r"mask of shape \[2, 31\]"),
        (torch.zeros(2, 32, WIDTH), None, 0, "level 0, expected 1 to 4"),
        (torch.zeros(2, 32, WIDTH), None, 5, "level 5, expected 1 to 4"),
    ],
)
def test_wrong_shapes_are_refused(children, mask, level, message):
    with pytest.raises(MismatchError, match=message):
        make_net()(children, mask, level)


@pytest.mark.parametrize("setting", [{"width": 100}, {"width": 0}, {"sharpness": -1.0}, {"slot_mlp_ratio": 0}])
def test_nonsense_shapes_are_refused(setting):
    with pytest.raises(MismatchError):
        GistNetConfig(**setting)
