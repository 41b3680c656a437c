"""The merge of LoRA adapters, compared with peft."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from mctool.core.errors import MismatchError
from mctool.nets.adapter import merge_adapter
from mctool.nets.base_model import BaseModel
from mctool.nets.model_store import ModelFiles
from mctool.nets.startup import gc_paused

IDS = torch.randint(3, 500, (24,), generator=torch.Generator().manual_seed(1))
LAYER = "model.layers.1.mlp.up_proj"


def write_adapter(model_dir, folder, **settings):
    """A random adapter, as peft writes it, and the logits of peft's model."""
    with gc_paused(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
        settings = {"target_modules": ["q_proj", "v_proj", "up_proj"], "r": 4, "lora_alpha": 12} | settings
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            logits = adapted(IDS[None]).logits[0]
        adapted.save_pretrained(folder)
    return logits


@pytest.fixture
def adapter(tiny_model_dir, tmp_path):
    write_adapter(tiny_model_dir, tmp_path / "adapter")
    return tmp_path / "adapter"


def load(model_dir, adapter, dtype="float32"):
    return BaseModel.load(ModelFiles("tiny", model_dir), device="cpu", dtype=dtype, adapter=adapter)


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(change(tensors), path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "r": 5},
        {"lora_dropout": 0.5, "init_lora_weights": "gaussian", "layers_to_transform": [1]},
        {"target_modules": "all-linear"},
    ],
)
def test_logits_are_those_of_peft(tiny_model_dir, tmp_path, settings):
    expected = write_adapter(tiny_model_dir, tmp_path, **settings)
    adapted = load(tiny_model_dir, tmp_path)
    plain = load(tiny_model_dir, None)
    found = adapted.logits(adapted.embed(IDS))
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (found - plain.logits(plain.embed(IDS))).abs().max() > 0.1


def test_half_precision_is_rounded_once(tiny_model_dir, adapter):
    exact, half = (load(tiny_model_dir, adapter, dtype) for dtype in ("float32", "bfloat16"))
    assert half.dtype == torch.bfloat16
    for name, weight in exact._model.state_dict().items():
        assert torch.equal(weight.bfloat16(), half._model.state_dict()[name])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern"),
        ({"a_later_idea": 1}, "a_later_idea"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"r": 8}, r"expected \[8, i\]"),
        ({"r": 0}, "rank 0"),
        ({"lora_alpha": None}, "adapter_config.json cannot be read"),
    ],
)
def test_kinds_of_adapters_that_are_refused(tiny_model_dir, adapter, changes, says):
    edit(adapter, **changes)
    with pytest.raises(MismatchError, match=says) as caught:
        load(tiny_model_dir, adapter)
    assert caught.value.fix


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("n_bytes", [None, 0, 60])
def test_broken_files(tiny_model_dir, adapter, file, n_bytes):
    content = (adapter / file).read_bytes()
    (adapter / file).unlink()
    if n_bytes is not None:
        (adapter / file).write_bytes(content[:n_bytes])
    with pytest.raises(MismatchError, match=f"{file} cannot be read"):
        load(tiny_model_dir, adapter)


def test_a_configuration_that_is_not_an_object(tiny_model_dir, adapter):
    (adapter / "adapter_config.json").write_text("[]")
    with pytest.raises(MismatchError, match=r"adapter_config\.json cannot be read"):
        load(tiny_model_dir, adapter)


def b_of(layer):
    return f"base_model.model.{layer}.lora_B.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {name: x for name, x in t.items() if name != b_of(LAYER)}, "pairs.*up_proj"),
        (lambda t: t | {"base_model.model.lm_head.weight": torch.zeros(2)}, "pairs.*lm_head"),
        (lambda t: {name.replace("layers.1", "layers.7"): x for name, x in t.items()}, "layers.7.*does not have"),
        (lambda t: t | {b_of(LAYER): torch.zeros(3, 4)}, r"\[3, 64\].*\[128, 64\]"),
        (lambda t: t | {b_of(LAYER): torch.zeros(4)}, r"B \[4\]"),
        (lambda t: {}, "holds no tensors"),
    ],
)
def test_tensors_that_do_not_fit(tiny_model_dir, adapter, change, says):
    edit_tensors(adapter, change)
    with pytest.raises(MismatchError, match=says):
        load(tiny_model_dir, adapter)


def test_nothing_is_merged_when_something_is_refused(tiny_model_dir, adapter):
    weights = load_file(tiny_model_dir / "model.safetensors")
    tensors = dict(weights)
    edit_tensors(adapter, lambda t: t | {b_of(LAYER): torch.zeros(3, 4)})
    with pytest.raises(MismatchError):
        merge_adapter(tensors, adapter)
    assert all(tensors[name] is weights[name] for name in weights)
