import numpy as np
import pytest

from mctool.core.errors import MismatchError
from mctool.nets.minilm import MAX_TOKENS, MiniLM, find_minilm


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A random tiny BERT."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    directory = tmp_path_factory.mktemp("bert")
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "cat": 2, "dog": 3, "sat": 4}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    config = BertConfig(vocab_size=5, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(directory)
    return MiniLM(directory)


def test_vectors_have_length_1_and_do_not_hang_on_the_batch(encoder):
    texts = ["cat", "dog sat cat cat dog", "sat sat"] * 20
    vectors = encoder.embed(texts)
    assert vectors.shape == (60, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors[1], encoder.embed([texts[1]])[0], atol=1e-5)
    assert abs(float(vectors[0] @ vectors[2])) < 0.9999


def test_text_beyond_the_limit_is_not_read(encoder):
    long = "cat " * MAX_TOKENS
    np.testing.assert_allclose(encoder.embed([long + "dog"])[0], encoder.embed([long])[0], atol=1e-6)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(MismatchError, match="cannot read the encoder"):
        MiniLM(tmp_path)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("mctool.nets.minilm.PACKAGE", "no_such_package")
    assert find_minilm() is None
