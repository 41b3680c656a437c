import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mctool.core.errors import MismatchError
from mctool.nets.checkpoint import load_embedding_table, read_tensors
from mctool.nets.model_store import ModelFiles

TABLE = "model.embed_tokens.weight"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_embedding_table_alone(tiny_model_dir, tmp_path, dtype):
    table = load_file(tiny_model_dir / "model.safetensors")[TABLE].to(dtype)
    save_file({TABLE: table, "lm_head.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    found = load_embedding_table(ModelFiles("tiny", tmp_path))
    assert found.dtype == torch.float32
    assert torch.equal(found, table.float())


def test_weights_without_a_table(tmp_path):
    save_file({"lm_head.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(MismatchError, match="no embedding table"):
        load_embedding_table(ModelFiles("tiny", tmp_path))


def test_only_floating_tensors_change_type(tmp_path):
    save_file({"a": torch.ones(2, dtype=torch.float16), "b": torch.tensor([1])}, tmp_path / "model.safetensors")
    tensors = read_tensors(ModelFiles("tiny", tmp_path), torch.bfloat16)
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {"a": torch.bfloat16, "b": torch.int64}


@pytest.mark.parametrize("index", ["", "{}", "[]", '{"weight_map": 3}'])
def test_an_index_that_is_none(tiny_model_dir, tmp_path, index):
    copy = shutil.copytree(tiny_model_dir, tmp_path / "copy")
    (copy / "model.safetensors.index.json").write_text(index)
    with pytest.raises(MismatchError, match="not an index"):
        read_tensors(ModelFiles("tiny", copy), torch.float32)


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(MismatchError, match="get the model again"):
        read_tensors(ModelFiles("tiny", tmp_path), torch.float32)
