import pytest
import torch

from mctool.nets.degistnet import DeGistNet
from mctool.nets.gistnet import GistNetConfig

CONFIG = GistNetConfig(width=32, head_width=16)


@pytest.fixture
def net():
    return DeGistNet(24, CONFIG, embedding_norm=3.0)


def test_children_are_directions(net):
    children = net(torch.randn(3, 24), 1)
    assert children.shape == (3, 32, 24)
    assert torch.allclose(children.norm(dim=2), torch.ones(3, 32), atol=1e-5)


def test_logits_are_of_the_places_that_are_asked_for(net):
    gists, candidates = torch.randn(3, 24), torch.randn(7, 24)
    whole = net.token_logits(gists, candidates, None)
    some = net.token_logits(gists, candidates, torch.tensor([31, 2]))
    assert torch.allclose(some, whole[:, [31, 2]])


def test_levels_and_seeds_tell(net):
    gists = torch.randn(2, 24)
    assert not torch.allclose(net(gists, 1), net(gists, 2))
    assert torch.equal(DeGistNet(24, CONFIG, 3.0)(gists, 1), net(gists, 1))
    assert not torch.allclose(DeGistNet(24, CONFIG, 3.0, seed=1)(gists, 1), net(gists, 1))
