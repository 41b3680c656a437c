import dataclasses

import numpy as np
import pytest
import torch

from mctool.core.errors import MismatchError, UsageError
from mctool.nets.lens_net import LensNet, LensNetConfig
from mctool.nets.lens_weights import CARD_FILE, WEIGHTS_FILE, LensNetCard, load_lens_net, write_lens_net

FEATURES = ("mix", "words", "keys")
CONFIG = LensNetConfig(len(FEATURES), width=16, heads=2)


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = LensNet(CONFIG)
    torch.nn.init.normal_(net.leave.weight)
    return net.eval()


def card(**changes):
    return dataclasses.replace(LensNetCard(CONFIG, FEATURES, "encoder", candidates=8), **changes)


def test_an_untrained_net_ranks_by_its_first_feature():
    features = torch.rand(2, 5, 3)
    scores = LensNet(CONFIG)(features, torch.zeros(2, 5, dtype=torch.bool))
    assert torch.equal(scores.argsort(1), features[..., 0].argsort(1))


def test_what_fills_a_batch_up_changes_nothing_and_order_does_not_matter(net):
    features = torch.rand(1, 6, 3)
    absent = torch.zeros(1, 6, dtype=torch.bool)
    scores = net(features, absent)
    longer = torch.cat([features, torch.full((1, 3, 3), 9.0)], 1)
    filled = net(longer, torch.arange(9)[None] >= 6)
    torch.testing.assert_close(filled[:, :6], scores)
    torch.testing.assert_close(net(features.flip(1), absent).flip(1), scores)


def test_an_entry_is_judged_among_the_others_unless_cross_attention_is_off(net):
    features, absent = torch.rand(1, 6, 3), torch.zeros(1, 6, dtype=torch.bool)
    changed = features.clone()
    changed[0, 5] += 1
    assert not torch.equal(net(features, absent)[0, 0], net(changed, absent)[0, 0])
    alone = LensNet(dataclasses.replace(CONFIG, cross_attention=False))
    torch.nn.init.normal_(alone.leave.weight)
    assert torch.equal(alone(features, absent)[0, 0], alone(changed, absent)[0, 0])


def test_every_trained_weight_gets_a_gradient(net):
    net.train()(torch.rand(2, 5, 3), torch.zeros(2, 5, dtype=torch.bool))[:, 0].sum().backward()
    for name, weight in net.named_parameters():
        assert weight.requires_grad == (name not in ("mean", "spread"))
        assert not weight.requires_grad or weight.grad.abs().sum() > 0, name


def test_it_comes_back_from_disk(net, tmp_path):
    write_lens_net(tmp_path, net, card(figures={"recall": 0.5}))
    scorer = load_lens_net(tmp_path, FEATURES, "encoder")
    features = np.random.default_rng(0).random((7, 3), np.float32)
    expected = net(torch.from_numpy(features)[None], torch.zeros(1, 7, dtype=torch.bool))[0].detach().numpy()
    np.testing.assert_allclose(scorer(features), expected, atol=0.02)
    assert scorer.card == card(figures={"recall": 0.5})
    assert scorer(features[:0]).shape == (0,)


def test_without_a_card_there_is_none(tmp_path):
    assert load_lens_net(tmp_path, FEATURES, "encoder") is None


@pytest.mark.parametrize(
    ("features", "encoder", "told"),
    [(("mix",), "encoder", "other features"), (FEATURES, "another", "key encoder encoder, this one is another")],
)
def test_one_that_does_not_fit_is_refused(net, tmp_path, features, encoder, told):
    write_lens_net(tmp_path, net, card())
    with pytest.raises(MismatchError, match=told):
        load_lens_net(tmp_path, features, encoder)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_a_damaged_one_is_refused(net, tmp_path, name):
    write_lens_net(tmp_path, net, card())
    (tmp_path / name).write_bytes(b"none")
    with pytest.raises(MismatchError, match="cannot be read"):
        load_lens_net(tmp_path, FEATURES, "encoder")


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(UsageError, match="width 10"):
        LensNetConfig(3, width=10)
