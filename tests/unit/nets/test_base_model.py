import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mctool.core.errors import MismatchError, MissingBackendError, ResourceError, UsageError
from mctool.nets.base_model import BaseModel
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.model_store import ModelFiles, pull_model
from mctool.nets.tokenizer import TextTokenizer

IDS = torch.randint(3, 500, (48,), generator=torch.Generator().manual_seed(1))
GAPS = torch.cat([torch.arange(0, 10), torch.arange(50, 60), torch.arange(200, 228)])


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return BaseModel.load(ModelFiles("tiny", tiny_model_dir), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def plain(tiny_model_dir):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()


@pytest.fixture
def model_copy(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir, tmp_path / "copy")


def edit_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def close(a, b, tolerance=1e-4):
    return (a - b).abs().max().item() <= tolerance


def test_facts(base, plain):
    assert (base.name, base.d_model, base.n_layers, base.trained_positions) == ("tiny", 64, 2, 512)
    assert base.vocab_size == plain.config.vocab_size
    assert (base.device.type, base.dtype, base.eos_ids) == ("cpu", torch.float32, frozenset({2}))


@pytest.mark.parametrize("positions", [None, torch.arange(len(IDS)), np.arange(len(IDS))])
def test_logits_are_those_of_plain_hugging_face(base, plain, positions):
    with torch.no_grad():
        expected = plain(IDS[None]).logits[0]
    assert close(base.logits(base.embed(IDS), positions), expected)


def test_logits_at_positions_with_gaps(base, plain):
    with torch.no_grad():
        packed = plain(IDS[None], position_ids=GAPS[None], use_cache=False).logits[0]
        expected = plain(IDS[None], position_ids=GAPS[None], attention_mask=torch.ones(1, len(IDS))).logits[0]
    found = base.logits(base.embed(IDS), GAPS)
    assert close(found, expected)
    assert not close(found[10:], packed[10:], 0.1)  # without the mask, attention is cut at every jump


def test_every_slot_sees_those_before_a_gap_and_none_after_itself(base):
    changed = IDS.clone()
    changed[0] += 1
    before, after = (base.logits(base.embed(ids), GAPS) for ids in (IDS, changed))
    assert not close(before[-1], after[-1])
    changed = IDS.clone()
    changed[-1] += 1
    after = base.logits(base.embed(changed), GAPS)
    assert close(before[:-1], after[:-1], 1e-6)


def test_only_distances_of_positions_matter(base):
    assert close(base.logits(base.embed(IDS), GAPS), base.logits(base.embed(IDS), GAPS + 100), 1e-3)


@pytest.mark.parametrize("positions", [None, GAPS])
def test_decoding_with_the_cache_is_decoding_from_scratch(base, positions):
    place = torch.arange(len(IDS)) if positions is None else positions
    ids = IDS
    decoding = base.prefill(base.embed(IDS), positions)
    for _ in range(6):
        expected = base.logits(base.embed(ids), place)[-1]
        assert close(decoding.logits, expected)
        token = int(expected.argmax())
        decoding.step(token)
        ids = torch.cat([ids, torch.tensor([token])])
        place = torch.cat([place, place[-1:] + 1])


def test_log_likelihood_is_that_of_the_logits(base):
    window, target = IDS[:30], IDS[30:]
    positions = torch.cat([torch.arange(0, 60, 3)[:20], torch.arange(90, 100)])
    read = torch.cat([positions, positions[-1] + torch.arange(1, len(target) + 1)])
    logits = base.logits(base.embed(IDS), read)
    expected = torch.log_softmax(logits[29:-1], -1)[torch.arange(len(target)), target]

    found = base.log_likelihood(base.embed(window), positions, target)
    assert found.shape == (18,)
    assert close(found, expected)
    assert close(base.log_likelihood(base.embed(window), positions, target[:1].tolist()), expected[:1])


def test_frozen_but_open_to_gradients_of_embeddings(base):
    embeddings = base.embed(IDS).clone().requires_grad_()
    base.log_likelihood(embeddings, None, IDS[:5]).sum().backward()
    assert (embeddings.grad.abs().sum(-1) > 0).all()
    assert not any(parameter.requires_grad for parameter in base._model.parameters())
    assert not base._model.training


def test_embeddings_are_the_rows_of_the_table(base, tiny_model_dir):
    table = load_file(tiny_model_dir / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(base.embed(IDS), table[IDS])
    assert torch.equal(base.embed(np.array([5, 7], dtype=np.uint32)), table[[5, 7]])
    assert base.embed([]).shape == (0, 64)


def test_nonsense_is_refused(base):
    with pytest.raises(ValueError, match="not in"):
        base.embed([0, base.vocab_size])
    with pytest.raises(ValueError, match=r"expected \[n, 64\]"):
        base.logits(torch.zeros(3, 65))
    with pytest.raises(ValueError, match="n >= 1"):
        base.prefill(torch.zeros(0, 64))
    with pytest.raises(ValueError, match=r"expected \[48\]"):
        base.logits(base.embed(IDS), GAPS[:-1])
    with pytest.raises(ValueError, match="no tokens"):
        base.log_likelihood(base.embed(IDS), None, [])


def test_half_precision_is_taken_from_the_option(tiny_model_dir, base):
    half = BaseModel.load(ModelFiles("tiny", tiny_model_dir), device="cpu", dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    logits = half.logits(half.embed(IDS))
    assert logits.dtype == torch.float32
    assert close(logits, base.logits(base.embed(IDS)), 0.5)


def test_rotary_tables_stay_exact_in_half_precision(tiny_model_dir, base):
    half = BaseModel.load(ModelFiles("tiny", tiny_model_dir), device="cpu", dtype="bfloat16")
    assert torch.equal(half._model.model.rotary_emb.inv_freq, base._model.model.rotary_emb.inv_freq)


def test_end_ids_come_from_both_files(model_copy):
    (model_copy / "generation_config.json").write_text('{"eos_token_id": [0, 2]}')
    assert BaseModel.load(ModelFiles("tiny", model_copy)).eos_ids == {0, 2}
    (model_copy / "generation_config.json").write_text("[]")
    with pytest.raises(MismatchError, match="generation_config"):
        BaseModel.load(ModelFiles("tiny", model_copy))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "gpt2", "rope_parameters": None}, "no rotary positions"),
        ({"model_type": "t5"}, "not a causal LM"),
        ({"model_type": "no-such-model"}, "no-such-model"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "quantised"),
        ({"hidden_size": 32}, "do not fit config.json"),
        ({"num_hidden_layers": 3}, "lack 9 tensors"),
        ({"tie_word_embeddings": False}, r"lm_head\.weight"),
    ],
)
def test_models_that_cannot_be_used(model_copy, changes, says):
    edit_config(model_copy, **changes)
    with pytest.raises(MismatchError, match=says) as caught:
        BaseModel.load(ModelFiles("copy", model_copy), device="cpu")
    assert caught.value.fix


def test_code_that_comes_with_a_model_is_not_run(model_copy):
    edit_config(model_copy, model_type="own", auto_map={"AutoConfig": "configuration_own.OwnConfig"})
    (model_copy / "configuration_own.py").write_text("raise SystemExit('was run')")
    with pytest.raises(MismatchError, match="cannot read the configuration"):
        BaseModel.load(ModelFiles("copy", model_copy), device="cpu")


@pytest.mark.parametrize("n_bytes", [0, 100, -1])
def test_weights_that_are_cut_short(model_copy, n_bytes):
    weights = model_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:n_bytes])
    with pytest.raises(MismatchError, match="not a complete safetensors file"):
        BaseModel.load(ModelFiles("copy", model_copy), device="cpu")


def test_shards_are_read_together(model_copy, base):
    tensors = load_file(model_copy / "model.safetensors")
    (model_copy / "model.safetensors").unlink()
    files = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in tensors if files[name] == file}, model_copy / file)
    (model_copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    sharded = BaseModel.load(ModelFiles("copy", model_copy), device="cpu", dtype="float32")
    assert torch.equal(sharded.logits(sharded.embed(IDS)), base.logits(base.embed(IDS)))


def test_out_of_memory_is_told(base, monkeypatch):
    def fail(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(base, "_model", fail)
    with pytest.raises(ResourceError, match="w-max"):
        base.prefill(base.embed(IDS))


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(MissingBackendError, match="--device cpu"):
            choose_device(name)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0").index == 0
    with pytest.raises(MissingBackendError, match="no cuda:1"):
        choose_device("cuda:1")
    for name in ("gpu", "cuda:x", "", "meta"):
        with pytest.raises(UsageError, match="--device"):
            choose_device(name)


def test_dtypes(monkeypatch):
    for has_bfloat16, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has_bfloat16: has, raising=False)
        assert choose_dtype("auto", torch.device("cpu")) is expected
        assert choose_dtype("auto", torch.device("mps")) is torch.float32
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert choose_dtype("auto", torch.device("cpu")) is torch.float32
    assert choose_dtype("auto", torch.device("cuda")) is torch.bfloat16
    assert choose_dtype("float16", torch.device("cpu")) is torch.float16
    with pytest.raises(UsageError, match="int8"):
        choose_dtype("int8", torch.device("cpu"))


def test_loading_says_nothing(tiny_model_dir):
    code = (
        "import sys; from mctool.nets.base_model import BaseModel; from mctool.nets.model_store import resolve_model; "
    )
    code += "BaseModel.load(resolve_model(sys.argv[1]), 'cpu')"
    done = subprocess.run([sys.executable, "-c", code, str(tiny_model_dir)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.model
def test_default_model_answers():
    files = pull_model("smollm2-135m-instruct")
    base, tokenizer = BaseModel.load(files, device="cpu"), TextTokenizer.load(files)
    assert (base.d_model, base.n_layers, base.vocab_size, base.trained_positions) == (576, 30, 49152, 8192)
    start, end = tokenizer.token_id("<|im_start|>"), tokenizer.token_id("<|im_end|>")
    prompt = [start, *tokenizer.encode("user\nWhat is the capital of France?"), end, *tokenizer.encode("\n"), start]
    decoding = base.prefill(base.embed([*prompt, *tokenizer.encode("assistant\n")]))
    stream, answer = tokenizer.stream(), ""
    while (token := int(decoding.logits.argmax())) not in base.eos_ids:
        answer += stream.push(token)
        decoding.step(token)
    assert "Paris" in answer
