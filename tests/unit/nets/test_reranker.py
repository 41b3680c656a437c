import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_keys import write_tiny_key_encoder

import mctool.weights
from mctool.core.errors import MismatchError
from mctool.nets.key_pieces import WordPieces
from mctool.nets.key_weights import load_key_net
from mctool.nets.reranker import Reranker, RerankerConfig, RerankerNet
from mctool.nets.reranker_weights import CARD_FILE, WEIGHTS_FILE, RerankerCard, load_reranker, write_reranker

CONFIG = RerankerConfig(layers=1, rank=4, text_pieces=12, question_pieces=6)
FUNCTIONS = {"a.py:f": "the ship in the storm", "a.py:g": "a letter", "b/c.py:h": "the skipper of a vessel"}


@pytest.fixture
def folder(tmp_path):
    return write_tiny_key_encoder(tmp_path)


@pytest.fixture
def net(folder):
    """One whose additions are not nothing."""
    torch.manual_seed(0)
    net = RerankerNet(load_key_net(folder)[0], CONFIG)
    for weight in net.additions().values():
        torch.nn.init.normal_(weight, std=0.05)
    return net.eval()


def pieces_of(folder):
    return WordPieces(load_key_net(folder)[1], 128)


def fits(net, folder, questions, texts):
    pieces = pieces_of(folder)
    with torch.no_grad():
        asked, read = pieces.beginnings(questions, 6, asked=True), pieces.beginnings(texts, 12)
        return net(asked, read, len(questions), len(texts))


def test_a_fit_is_the_weighted_mean_of_the_nearest_pieces(net, folder):
    pieces = pieces_of(folder)
    question, texts = "ship storm", ["a letter", "the ship in the room"]
    (asked,), read = pieces.beginnings([question], 6, asked=True), pieces.beginnings(texts, 12)

    def vectors(run):
        return net.key_net(torch.tensor([run.ids]), None)[0, 1:-1].double().detach()

    weights = torch.softmax(vectors(asked) @ net.piece_weight.double().detach(), 0).numpy()
    for run, fit in zip(read, fits(net, folder, [question], texts)[0].tolist(), strict=True):
        cosines = torch.nn.functional.cosine_similarity(vectors(asked)[:, None], vectors(run)[None], dim=2)
        assert fit == pytest.approx(float(weights @ cosines.amax(1).numpy()), abs=1e-5)


def test_texts_beside_each_other_change_nothing(net, folder):
    questions, texts = ["the ship", "a letter in the room"], [*FUNCTIONS.values(), "storm " * 20]
    together = fits(net, folder, questions, texts)
    for row, question in enumerate(questions):
        for column, text in enumerate(texts):
            assert fits(net, folder, [question], [text])[0, 0] == pytest.approx(float(together[row, column]), abs=1e-5)


def test_what_has_no_word_fits_not_at_all(net, folder):
    (nothing, something), unasked = fits(net, folder, ["ship", " "], ["", "ship"]).tolist()
    assert nothing == 0 < something
    assert unasked == [0, 0]
    assert fits(net, folder, [" "], ["ship"]).tolist() == [[0]]


def test_only_the_beginnings_are_read(net, folder):
    begun = "the ship in the storm of a letter is the room"
    assert torch.equal(
        fits(net, folder, ["ship"], [f"{begun} dagger dagger"]), fits(net, folder, ["ship"], [f"{begun} dagger"])
    )


def test_additions_are_nothing_at_first_and_all_that_is_trained(folder):
    key_net = load_key_net(folder)[0]
    net = RerankerNet(key_net, CONFIG)
    run = pieces_of(folder).beginnings(["the ship"], 9)
    torch.testing.assert_close(net.key_net.hidden(run)[0], key_net.hidden(run)[0])
    net(run, run, 1, 1).sum().backward()
    trained = [weight for weight in net.parameters() if weight.grad is not None]
    assert {id(weight) for weight in trained} == {id(weight) for weight in net.additions().values()}
    assert {"piece_weight", "layers.0.up.a", "layers.0.query_key_value.b"} < net.additions().keys()
    assert len(trained) == 9
    assert not any(weight.grad is not None for weight in key_net.parameters())


def test_it_comes_back_from_disk(net, folder):
    pieces, fingerprint = load_key_net(folder)[1:]
    write_reranker(folder, net, RerankerCard(CONFIG, fingerprint, 7, {"first of 16": 0.5}))
    loaded = load_reranker(folder)
    expected = Reranker(net, pieces)("where is the captain", FUNCTIONS)
    found = loaded("where is the captain", FUNCTIONS)
    assert list(found) == list(FUNCTIONS)
    assert found == pytest.approx(expected, abs=0.003)
    assert np.ptp(list(found.values())) > 0.005


def test_without_a_card_there_is_none(folder):
    assert load_reranker(folder) is None


def test_one_of_another_key_encoder_is_refused(net, folder):
    write_reranker(folder, net, RerankerCard(CONFIG, "another"))
    with pytest.raises(MismatchError, match="key encoder another, this one is"):
        load_reranker(folder)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_a_damaged_one_is_refused(net, folder, name):
    write_reranker(folder, net, RerankerCard(CONFIG, load_key_net(folder)[2]))
    (folder / name).write_bytes(b"none")
    with pytest.raises(MismatchError, match="cannot be read"):
        load_reranker(folder)


def test_one_of_another_shape_is_refused(net, folder):
    write_reranker(folder, net, RerankerCard(RerankerConfig(layers=2), load_key_net(folder)[2]))
    with pytest.raises(MismatchError, match="2 layers of a key net of 1"):
        load_reranker(folder)


@pytest.mark.parametrize("field", ["layers", "rank", "text_pieces", "question_pieces"])
def test_a_shape_without_anything_is_refused(field):
    with pytest.raises(MismatchError, match=f"{field} 0"):
        RerankerConfig(**{field: 0})


def test_the_packaged_reranker_knows_what_docstrings_are_worth():
    folder = Path(mctool.weights.__path__[0]) / "lens"
    assert json.loads((folder / CARD_FILE).read_text())["figures"]
    body = "    for line in lines:\n        found.append(table[line.strip()])\n    return found\n"
    told = '    """Decode what was escaped for a mail."""\n'
    other = '    """Tell how long the longest line is."""\n'
    fits = load_reranker(folder)(
        "Where are the escapes of mails undone?",
        {name: f"def run(lines):\n{docstring}{body}" for name, docstring in (("a", told), ("b", ""), ("c", other))},
    )
    assert fits["a"] > fits["b"] + 0.05 > fits["c"], "a net that has never seen docstrings takes them for a flaw"
