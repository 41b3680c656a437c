"""Single tokens through the decoder, against transformers."""

import pytest
import torch

from mctool.nets import llama_decoder
from mctool.nets.base_model import BaseModel
from mctool.nets.llama_decoder import GROWTH, KeyValues, make_decoder
from mctool.nets.startup import gc_paused

TINY = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
IDS = torch.randint(3, 300, (40,), generator=torch.Generator().manual_seed(1))
GAPS = torch.cat([torch.arange(0, 10), torch.arange(50, 60), torch.arange(200, 220)])
TOKENS = (5, 17, 200, 5, 8)


def make_model(dtype=torch.float32, **settings):
    with gc_paused(), torch.random.fork_rng(devices=[]):
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**(TINY | settings))).eval().requires_grad_(False)
        for parameter in model.parameters():  # norms of ones would hide a norm that is left out
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
            parameter.data = parameter.data.to(dtype)  # alone: the rotary frequencies stay exact
    return model


def wrap(model, fast_steps):
    return BaseModel("tiny", model, frozenset(), fast_steps)


def difference(base, plain, positions=GAPS):
    """Largest difference of logits over some steps."""
    decodings = [model.prefill(model.embed(IDS), positions) for model in (base, plain)]
    assert torch.equal(decodings[0].logits, decodings[1].logits)
    worst = 0.0
    for token in TOKENS:
        for decoding in decodings:
            decoding.step(token)
        worst = max(worst, (decodings[0].logits - decodings[1].logits).abs().max().item())
    return worst


@pytest.mark.parametrize("positions", [None, GAPS])
@pytest.mark.parametrize(
    "settings",
    [
        {"tie_word_embeddings": True},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 4},
        {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32, "rms_norm_eps": 0.1},
        {"num_key_value_heads": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
        {"rope_parameters": LLAMA3_ROPE},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    ],
)
def test_steps_are_those_of_transformers(settings, positions):
    model = make_model(**settings)
    exact, half, plain = (wrap(model, fast) for fast in (True, True, False))
    exact._decoder = make_decoder(model, torch.float32)
    assert difference(exact, plain, positions) <= 1e-4
    assert 0 < difference(half, plain, positions) <= 0.02


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision(dtype):
    model = make_model(dtype)
    base, plain = wrap(model, True), wrap(make_model(), False)
    decodings = [b.prefill(b.embed(IDS), GAPS) for b in (base, plain)]
    for token in TOKENS:
        for decoding in decodings:
            decoding.step(token)
    assert decodings[0].logits.dtype == torch.float32
    assert (decodings[0].logits - decodings[1].logits).abs().max() <= (0.5 if dtype is torch.bfloat16 else 0.05)


def test_more_slots_than_there_is_room_for():
    model = make_model()
    base, plain = wrap(model, True), wrap(model, False)
    decoding = base.prefill(base.embed(IDS[:4]))
    ids = torch.randint(3, 300, (GROWTH + 10,), generator=torch.Generator().manual_seed(2))
    for token in ids.tolist():
        decoding.step(token)
    expected = plain.logits(plain.embed(torch.cat([IDS[:4], ids])))[-1]
    assert (decoding.logits - expected).abs().max() <= 0.05


def test_forks_and_readings_between_steps():
    model = make_model()
    base, plain = wrap(model, True), wrap(model, False)
    decodings = [b.prefill(b.embed(IDS), GAPS) for b in (base, plain)]
    for decoding in decodings:
        decoding.step(5)
    forks = [decoding.fork() for decoding in decodings]
    for decoding, fork in zip(decodings, forks, strict=True):
        fork.step(7)
        fork.read(fork._base.embed(IDS[:6]), torch.arange(400, 406))
        fork.step(8)
        decoding.step(9)
    likelihoods = [decoding.log_likelihood([10, 11, 12]) for decoding in decodings]
    for fast, slow in (decodings, forks):
        assert (fast.logits - slow.logits).abs().max() <= 0.02
    assert (likelihoods[0] - likelihoods[1]).abs().max() <= 0.02


def test_a_step_keeps_nothing_of_a_gradient():
    base = wrap(make_model(), True)
    decoding = base.prefill(base.embed(IDS).requires_grad_())
    decoding.step(5)
    assert not decoding.logits.requires_grad


@pytest.mark.parametrize("at_start", [True, False])
def test_activations_beyond_fp16_are_left_to_transformers(at_start):
    model = make_model()
    base, plain = wrap(model, True), wrap(model, False)
    decodings = [b.prefill(b.embed(IDS), GAPS) for b in (base, plain)]
    if not at_start:
        for decoding in decodings:
            decoding.step(5)
    model.model.layers[1].mlp.up_proj.weight.mul_(1e6)
    model.model.layers[1].mlp.down_proj.weight.mul_(1e-6)
    if not at_start:
        base._decoder = make_decoder(model)
    for decoding in decodings:
        decoding.step(7)
        decoding.step(8)
    assert (decodings[0].logits - decodings[1].logits).abs().max() <= (1e-4 if at_start else 0.02)
    assert base._decoder is None


@pytest.mark.parametrize(
    "settings", [{"attention_bias": True}, {"mlp_bias": True}, {"hidden_act": "gelu"}, {"rope_parameters": {
        "rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}}]
)  # fmt: skip
def test_llamas_that_are_left_to_transformers(settings):
    model = make_model(**settings)
    assert make_decoder(model) is None
    assert difference(wrap(model, True), wrap(model, False)) == 0


def test_other_models_are_left_to_transformers(monkeypatch):
    with gc_paused():
        from transformers import MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

    for config, kind in ((MistralConfig, MistralForCausalLM), (Qwen2Config, Qwen2ForCausalLM)):
        model = kind(config(**TINY)).eval().requires_grad_(False)
        assert make_decoder(model) is None
        assert difference(wrap(model, True), wrap(model, False)) == 0
    assert make_decoder(make_model().to("meta")) is None
    monkeypatch.setattr(llama_decoder, "MOST_PARAMETERS", 1000)
    assert make_decoder(make_model()) is None


def test_key_values_are_copied():
    pair = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    first = KeyValues([pair])
    second = first.copy()
    slot = next(iter(second.next_slot()[0]))
    slot.fill_(3.0)
    second.n_slots += 1
    assert [tensor.shape[2] for tensor in (*first.pairs()[0], *second.pairs()[0])] == [5, 5, 6, 6]
    for stored, given in zip(second.pairs()[0], pair, strict=True):
        assert torch.equal(stored[:, :, :5], given)
        assert (stored[:, :, 5] == 3).all()
    assert torch.equal(first.pairs()[0][0], pair[0])
