import json

import numpy as np
import pytest
import torch
from nets_gguf import write_gguf
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from mctool.core.errors import MismatchError
from mctool.nets import hugging_face
from mctool.nets.base_model import BaseModel
from mctool.nets.gguf_convert import convert_gguf
from mctool.nets.model_store import ModelFiles, missing_files

TEXT = "def f(x):\n    return 12345  +  x  # naïve 🙂 <|im_end|>\n\n\n\t7"


@pytest.fixture(scope="module")
def converted(tiny_gguf, tmp_path_factory):
    directory = tmp_path_factory.mktemp("converted")
    convert_gguf(tiny_gguf, directory)
    return directory


def test_weights_are_those_of_transformers_to_the_bit(converted, tiny_gguf, tmp_path):
    expected = hugging_face.read_gguf(tiny_gguf, tmp_path)
    found = load_file(converted / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.astype(np.float16), err_msg=name)


def test_logits_are_those_of_the_model_before_conversion(converted, tiny_model_dir):
    ids = torch.arange(40)
    before, after = (
        BaseModel.load(ModelFiles("tiny", folder), device="cpu", dtype="float32")
        for folder in (tiny_model_dir, converted)
    )
    difference = (before.logits(before.embed(ids)) - after.logits(after.embed(ids))).abs().max()
    assert difference < 0.02  # fp16 on disk
    assert (before.trained_positions, before.eos_ids | {0}) == (after.trained_positions, after.eos_ids)


def test_tokenizer_is_the_one_before_conversion(converted, tiny_model_dir):
    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tiny_model_dir, converted))
    assert after.encode(TEXT).ids == before.encode(TEXT).ids
    assert after.decode(before.encode(TEXT).ids, skip_special_tokens=False) == TEXT
    config = json.loads((converted / "tokenizer_config.json").read_text())
    assert (config["eos_token"], config["chat_template"]) == ("<|im_end|>", "{{ messages }}")


def test_other_models_go_through_transformers(tiny_model_dir, tmp_path):
    path = write_gguf(tmp_path / "other.gguf", tiny_model_dir, pre_tokenizer="gpt-2")
    directory = tmp_path / "model"
    directory.mkdir()
    convert_gguf(path, directory)
    assert missing_files(directory) == []
    config = json.loads((directory / "config.json").read_text())
    assert "quantization_config" not in config
    assert BaseModel.load(ModelFiles("other", directory), device="cpu").d_model == 64


def test_fp16_range_is_respected(tiny_model_dir, tmp_path):
    path = write_gguf(tmp_path / "big.gguf", tiny_model_dir, scale_of={"output_norm.weight": 1e6})
    convert_gguf(path, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights["model.norm.weight"].dtype == np.float32
    assert weights["model.norm.weight"].max() == 1e6
    assert weights["model.embed_tokens.weight"].dtype == np.float16


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all, but long enough to have a header"])
def test_what_is_not_gguf_is_refused(content, tmp_path):
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(MismatchError, match="not a complete GGUF file"):
        convert_gguf(tmp_path / "model.gguf", tmp_path)


def test_gguf_that_is_cut_short_is_refused(tiny_gguf, tmp_path):
    (tmp_path / "half.gguf").write_bytes(tiny_gguf.read_bytes()[: tiny_gguf.stat().st_size // 2])
    with pytest.raises(MismatchError, match="not a complete GGUF file"):
        convert_gguf(tmp_path / "half.gguf", tmp_path)
