import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mctool.core.errors import MismatchError, UsageError
from mctool.nets.key_encoder import KeyEncoder, scores
from mctool.nets.key_folder import CARD_FILE, find_key_encoder
from mctool.nets.key_net import KeyNet, KeyNetConfig
from mctool.nets.key_pieces import WINDOW_BLOCKS, WordPieces, batches
from mctool.nets.key_weights import (
    PIECES_FILE,
    WEIGHTS_FILE,
    KeyEncoderCard,
    load_key_encoder,
    write_key_encoder,
)

WORDS = ["the", "ship", "sank", "harbour", "storm", "keeper", "letter", "##s", "##ed", "def", "return", "(", ")", ":"]
CONFIG = KeyNetConfig(layers=2, width=16, heads=2, mlp=32, vocabulary=19, positions=24)


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@pytest.fixture
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = KeyNet(CONFIG)
        for table in (net.pieces, net.positions):
            torch.nn.init.normal_(table.weight)
    return net.eval()


@pytest.fixture
def encoder(net, tokenizer):
    return KeyEncoder(net, tokenizer)


def widened(keys, scale):
    return keys * scale.astype(np.float32)[:, None]


@given(
    documents=st.lists(st.lists(st.lists(st.sampled_from([*WORDS, " ", "\n"]), max_size=9).map("".join), max_size=20)),
    longest=st.integers(3, 24),
)
def test_runs_hold_every_piece_once_in_order_and_no_run_mixes_windows(documents, longest, tokenizer):
    pieces = WordPieces(tokenizer, longest)
    runs = pieces.text_runs(documents)
    read = [(block, piece) for run in runs for block, piece in zip(run.blocks, run.ids, strict=True) if block >= 0]
    expected, done = [], 0
    for texts in documents:
        for start in range(0, len(texts), WINDOW_BLOCKS):
            expected += tokenizer.encode("".join(texts[start : start + WINDOW_BLOCKS])).ids
        done += len(texts)
    assert [piece for _, piece in read] == expected
    assert [block for block, _ in read] == sorted(block for block, _ in read)
    assert all(block < done for block, _ in read)
    assert all(2 < len(run.ids) <= longest for run in runs)
    windows = [window for texts in documents for window in [len(texts)]]
    bounds = np.concatenate([[0], np.cumsum(windows)])
    for run in runs:
        inside = [block for block in run.blocks if block >= 0]
        document = np.searchsorted(bounds, inside, side="right") - 1
        assert len(set(document.tolist())) == 1
        assert len({(block - bounds[document[0]]) // WINDOW_BLOCKS for block in inside}) == 1


def test_a_word_across_two_blocks_is_one_word_of_the_first(tokenizer):
    pieces = WordPieces(tokenizer, 24)
    [run] = pieces.text_runs([["the sh", "ip sank"]])
    assert run.ids[1:-1] == tokenizer.encode("the ship sank").ids
    assert run.blocks == [-1, 0, 0, 1, -1]


@given(lengths=st.lists(st.integers(1, 20), max_size=30), most=st.integers(1, 60))
def test_batches_hold_every_run_and_stay_below_the_limit(lengths, most, tokenizer):
    runs = WordPieces(tokenizer, 24).question_runs(["ship " * length for length in lengths])
    found = batches(runs, most)
    assert sorted(run.blocks[1] for runs in found for run in runs) == list(range(len(lengths)))
    assert all(len(some) == 1 or len(some) * max(len(run.ids) for run in some) <= most for some in found)


def test_vocabulary_without_marks_is_refused():
    with pytest.raises(MismatchError, match="unused0"):
        WordPieces(Tokenizer(models.WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]")), 24)


def test_net_gives_what_hugging_face_gives(tmp_path, tokenizer):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=19, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = BertModel(config).eval()
    theirs.save_pretrained(tmp_path)
    net = KeyNet.from_bert(tmp_path, range(3), same_as=(1, 3)).eval()
    runs = WordPieces(tokenizer, 24).text_runs([["the ship ", "sank:"], ["storm"]])
    found = net.vectors([runs], 3)
    for run in runs:
        hidden = theirs(torch.tensor([run.ids])).last_hidden_state[0]
        for block in set(run.blocks) - {-1}:
            mean = hidden[torch.tensor(run.blocks) == block].mean(dim=0)
            torch.testing.assert_close(found[block], mean / mean.norm(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.pieces.weight[1], net.pieces.weight[3])


def test_some_layers_of_a_net(net):
    half = net.with_layers([1])
    assert half.config.layers == 1
    torch.testing.assert_close(half.layers[0].up.weight, net.layers[1].up.weight)
    with torch.no_grad():
        half.pieces.weight.zero_()
    assert float(net.pieces.weight.detach().abs().sum()) > 0


def test_no_bert_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 2}')
    with pytest.raises(MismatchError, match="no BERT encoder"):
        KeyNet.from_bert(tmp_path, [0], same_as=(1, 3))


def test_too_long_a_run_is_refused(net):
    with pytest.raises(MismatchError, match="25 pieces, more than the net's 24"):
        net(torch.zeros(1, 25, dtype=torch.long), None)


def test_keys_have_length_1_and_know_their_window_only(encoder):
    texts = [f"the {word} sank " for word in ("ship", "storm", "letter", "harbour", "keeper")] * 4
    keys, scale = encoder.block_keys(texts)
    assert keys.shape == (20, 16)
    assert keys.dtype == np.int8
    assert scale.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(widened(keys, scale), axis=1), 1, atol=0.02)
    changed, _ = encoder.block_keys(["def return ( ) ", *texts[1:]])
    differs = (np.abs(changed.astype(int) - keys) > 3).any(axis=1)  # bfloat16 may round otherwise
    assert differs[:WINDOW_BLOCKS].all()
    assert not differs[WINDOW_BLOCKS:].any()


def test_documents_do_not_see_each_other(encoder):
    texts = ["the ship ", "sank", "def ship", "(storm): return"]
    together = widened(*encoder.document_keys([texts[:2], [], texts[2:]]))
    alone = np.concatenate([widened(*encoder.block_keys(texts[:2])), widened(*encoder.block_keys(texts[2:]))])
    np.testing.assert_allclose(together, alone, atol=0.03)


def test_long_documents_are_read_in_groups(encoder, monkeypatch):
    texts = [f"{word} " for word in ("ship", "storm", "letter", "harbour", "keeper")] * 10
    whole = widened(*encoder.block_keys(texts))
    monkeypatch.setattr("mctool.nets.key_encoder.GROUP_BLOCKS", 2 * WINDOW_BLOCKS)
    np.testing.assert_allclose(widened(*encoder.document_keys([texts[:48], texts[48:]]))[:48], whole[:48], atol=0.03)


def test_a_block_without_a_word_fits_nothing(encoder):
    keys, scale = encoder.block_keys(["the ship", " \n\n  ", "", "sank"])
    fits = scores(encoder.query("ship"), keys, scale)
    assert fits[1] == fits[2] == 0
    assert fits[0] != 0


def test_nothing_gives_no_keys(encoder):
    keys, scale = encoder.document_keys([[], []])
    assert keys.shape == (0, 16)
    assert scale.shape == (0,)
    assert not encoder.query("  ").any()


def test_scores_are_the_cosines_of_the_widened_keys(encoder, monkeypatch):
    monkeypatch.setattr("mctool.nets.key_encoder.SCORED_KEYS", 3)
    keys, scale = encoder.block_keys(["the ship ", "sank in ", "storm ", "def return ", "keepers"])
    query = encoder.query("which ship sank?")
    assert query.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(query), 1, rtol=1e-3)
    np.testing.assert_allclose(scores(query, keys, scale), widened(keys, scale) @ query, rtol=1e-4, atol=1e-6)


def test_half_a_surrogate_pair_is_refused(encoder):
    with pytest.raises(UsageError, match="surrogate"):
        encoder.block_keys(["ship \ud800"])
    with pytest.raises(UsageError, match="surrogate"):
        encoder.query("\udfff")


@pytest.fixture
def folder(tmp_path, net, tokenizer):
    place = tmp_path / "lens"
    write_key_encoder(place, net, tokenizer, KeyEncoderCard(CONFIG, {"code recall@128": 0.7}, "nowhere"))
    return place


def test_an_encoder_comes_back_from_disk(folder, encoder):
    again = load_key_encoder(folder)
    texts = ["the ship ", "sank in ", "storm ", "def return ", "keepers"]
    cosines = (widened(*again.block_keys(texts)) * widened(*encoder.block_keys(texts))).sum(axis=1)
    assert cosines.min() > 0.98
    assert len(again.fingerprint) == 64
    assert load_key_encoder(folder).fingerprint == again.fingerprint


def test_the_fingerprint_follows_the_weights(folder, net, tokenizer):
    before = load_key_encoder(folder).fingerprint
    with torch.no_grad():
        net.norm.bias[0] += 1
    write_key_encoder(folder, net, tokenizer, KeyEncoderCard(CONFIG))
    assert load_key_encoder(folder).fingerprint != before


def test_rows_of_zeros_survive(folder, net, tokenizer):
    with torch.no_grad():
        net.pieces.weight[0].zero_()
    write_key_encoder(folder, net, tokenizer, KeyEncoderCard(CONFIG))
    held = load_file(folder / WEIGHTS_FILE)
    assert held["pieces.weight"].dtype == torch.int8
    assert not held["pieces.weight"][0].any()


def test_the_folder_is_found_where_the_environment_says(folder, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(folder.parent))
    assert find_key_encoder() == folder


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE, PIECES_FILE])
def test_damaged_files_are_refused(folder, name):
    path = folder / name
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(MismatchError, match="reinstall"):
        load_key_encoder(folder)
    path.unlink()
    with pytest.raises(MismatchError):
        load_key_encoder(folder)


@pytest.mark.parametrize(("field", "value"), [("layers", 1), ("width", 18), ("vocabulary", 20), ("heads", 3)])
def test_a_card_that_does_not_fit_is_refused(folder, field, value):
    fields = json.loads((folder / CARD_FILE).read_text())
    fields["config"][field] = value
    (folder / CARD_FILE).write_text(json.dumps(fields))
    with pytest.raises(MismatchError):
        load_key_encoder(folder)
