import json
from dataclasses import replace

import pytest
import torch

from mctool.core.errors import MismatchError
from mctool.nets.gistnet import GistNet, GistNetConfig
from mctool.nets.weights import GistNetCard, load_gistnet, read_card, write_gistnet

CONFIG = GistNetConfig(width=32, head_width=16, slot_mlp_ratio=2)
CARD = GistNetCard("org/tiny", "ab" * 32, base_width=64, n_special=2, config=CONFIG)
TABLE = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))
    return tmp_path / "org--tiny"


def trained_net() -> GistNet:
    net = GistNet.for_embeddings(TABLE, CONFIG)
    torch.nn.init.normal_(net.out.weight, generator=torch.Generator().manual_seed(1))
    return net


def test_a_model_without_a_card_has_no_net():
    assert load_gistnet("org/unheard-of", TABLE) is None


def test_the_shipped_net_of_the_default_model_is_trained():
    loaded = load_gistnet("smollm2-135m-instruct", torch.randn(600, 576) * 0.1)
    assert loaded.card.model == "smollm2-135m-instruct"
    assert loaded.card.n_special == 17
    assert loaded.card.trained_tokens == loaded.card.curve[-1]["tokens"] > 0
    children = torch.randn(2, 32, 576)
    gists = loaded.net(children, None, 1)
    assert torch.isfinite(gists).all()
    assert not torch.allclose(gists, loaded.net.start(children, None), atol=0.1)


def test_an_untrained_net_needs_no_weights_file(folder):
    write_gistnet(folder, trained_net(), CARD)
    assert [path.name for path in folder.iterdir()] == ["gistnet.json"]
    loaded = load_gistnet("org/tiny", TABLE)
    expected = GistNet.for_embeddings(TABLE, CONFIG, n_special=2)
    assert loaded.card == CARD
    assert torch.equal(loaded.net.importance_weight, expected.importance_weight)
    assert not any(parameter.requires_grad for parameter in loaded.net.parameters())


def test_a_trained_net_comes_back_as_it_was_written_in_half_precision(folder):
    net, card = trained_net(), replace(CARD, trained_tokens=10, window_gists=16, figures={"content": 0.02})
    write_gistnet(folder, net, card)
    loaded = load_gistnet("org/tiny", TABLE, tokenizer_sha256="ab" * 32)
    assert loaded.card == card
    assert not loaded.net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value.half().float(), loaded.net.state_dict()[name])


def test_the_fingerprint_names_the_net_and_not_its_figures(folder):
    def fingerprint(net, card):
        write_gistnet(folder, net, card)
        return load_gistnet("org/tiny", TABLE).fingerprint

    trained = replace(CARD, trained_tokens=10)
    net, other = trained_net(), trained_net()
    torch.nn.init.zeros_(other.slot)
    prints = [
        fingerprint(net, CARD),
        fingerprint(net, trained),
        fingerprint(other, trained),
        fingerprint(net, replace(CARD, config=replace(CONFIG, sharpness=2.0))),
    ]
    assert len(set(prints)) == 4
    assert fingerprint(net, replace(trained, figures={"content": 1.0}, window_gists=3)) == prints[1]


def test_a_net_of_another_width_or_tokenizer_is_refused(folder):
    write_gistnet(folder, trained_net(), CARD)
    with pytest.raises(MismatchError, match="width 64, the model has 32"):
        load_gistnet("org/tiny", TABLE[:, :32])
    with pytest.raises(MismatchError, match="tokenizer abababababab, the model has cdcdcdcdcdcd"):
        load_gistnet("org/tiny", TABLE, tokenizer_sha256="cd" * 32)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 3}', "\ud800".encode("utf-8", "surrogatepass")])
def test_a_damaged_card_is_refused(folder, text):
    folder.mkdir()
    (folder / "gistnet.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MismatchError, match=r"gistnet.json cannot be read"):
        load_gistnet("org/tiny", TABLE)


def test_a_card_with_a_field_from_the_future_is_refused(folder):
    write_gistnet(folder, trained_net(), CARD)
    card = json.loads((folder / "gistnet.json").read_text()) | {"slots": 2}
    (folder / "gistnet.json").write_text(json.dumps(card))
    with pytest.raises(MismatchError, match="slots"):
        read_card(folder)


@pytest.mark.parametrize("damage", ["missing", "truncated", "other net"])
def test_damaged_weights_are_refused(folder, damage):
    write_gistnet(folder, trained_net(), replace(CARD, trained_tokens=10))
    weights = folder / "gistnet.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        card = replace(CARD, trained_tokens=10, config=replace(CONFIG, slot_mlp_ratio=3))
        (folder / "gistnet.json").write_text(json.dumps(card.to_json()))
    with pytest.raises(MismatchError, match=r"gistnet.safetensors"):
        load_gistnet("org/tiny", TABLE)


def test_a_weights_directory_that_is_none_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(MismatchError, match="no directory"):
        load_gistnet("org/tiny", TABLE)
