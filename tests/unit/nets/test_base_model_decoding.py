"""Decodings that are forked, read on and asked for likelihoods, against one pass over all that was read."""

import pytest
import torch

from mctool.nets.base_model import BaseModel
from mctool.nets.model_store import ModelFiles

IDS = torch.randint(3, 500, (48,), generator=torch.Generator().manual_seed(1))
GAPS = torch.cat([torch.arange(0, 10), torch.arange(50, 60), torch.arange(200, 228)])
QUESTIONS = [torch.tensor([7, 8, 9]), torch.tensor([10]), torch.randint(3, 500, (20,))]


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return BaseModel.load(ModelFiles("tiny", tiny_model_dir), device="cpu", dtype="float32")


def close(a, b, tolerance=1e-4):
    return (a - b).abs().max().item() <= tolerance


def logits_after(base, ids, positions):
    return base.logits(base.embed(ids), positions)[-1]


@pytest.mark.parametrize("cut", [1, 10, 30, 47])
def test_a_window_read_in_parts_is_the_window(base, cut):
    decoding = base.prefill(base.embed(IDS[:cut]), GAPS[:cut])
    decoding.read(base.embed(IDS[cut:]), GAPS[cut:])
    assert close(decoding.logits, logits_after(base, IDS, GAPS))


def test_reading_goes_on_at_the_next_position(base):
    decoding = base.prefill(base.embed(IDS), GAPS)
    decoding.read(base.embed(QUESTIONS[0]))
    place = torch.cat([GAPS, torch.arange(228, 231)])
    assert close(decoding.logits, logits_after(base, torch.cat([IDS, QUESTIONS[0]]), place))


def test_forks_do_not_touch_each_other(base):
    shared = base.prefill(base.embed(IDS), GAPS)
    before = shared.logits.clone()
    forks = [shared.fork() for _ in QUESTIONS]
    for fork, question in zip(forks, QUESTIONS, strict=True):
        fork.read(base.embed(question))
        fork.step(5)
    again = shared.fork()
    again.step(6)
    assert torch.equal(shared.logits, before)
    for fork, question in [*zip(forks, QUESTIONS, strict=True), (again, [])]:
        ids = torch.cat([IDS, torch.tensor([*question, 5 if len(question) else 6])])
        place = torch.cat([GAPS, 228 + torch.arange(len(ids) - len(IDS))])
        assert close(fork.logits, logits_after(base, ids, place))


def test_reading_after_steps_and_steps_after_reading(base):
    decoding = base.prefill(base.embed(IDS[:20]))
    for token in (4, 5):
        decoding.step(token)
    decoding.read(base.embed(IDS[20:]), torch.arange(30, 58))
    fork = decoding.fork()
    for token in (6, 7):
        decoding.step(token)
    fork.step(8)
    place = torch.cat([torch.arange(22), torch.arange(30, 60)])
    ids = torch.cat([IDS[:20], torch.tensor([4, 5]), IDS[20:]])
    assert close(decoding.logits, logits_after(base, torch.cat([ids, torch.tensor([6, 7])]), place))
    assert close(fork.logits, logits_after(base, torch.cat([ids, torch.tensor([8])]), place[:-1]))


@pytest.mark.parametrize("n_steps", [0, 3])
@pytest.mark.parametrize("n_targets", [1, 2, 10])
def test_log_likelihood_is_that_of_the_whole_and_changes_nothing(base, n_steps, n_targets):
    window, targets = IDS[: 30 + n_steps], IDS[30 + n_steps :][:n_targets]
    decoding = base.prefill(base.embed(IDS[:30]), GAPS[:30])
    for token in IDS[30 : 30 + n_steps]:
        decoding.step(int(token))
    place = torch.cat([GAPS[:30], GAPS[29] + 1 + torch.arange(n_steps)])
    expected = base.log_likelihood(base.embed(window), place, targets)

    assert close(decoding.log_likelihood(targets), expected)
    assert close(decoding.log_likelihood(targets.tolist()), expected)
    decoding.step(5)
    ids, place = torch.cat([window, torch.tensor([5])]), torch.cat([place, place[-1:] + 1])
    assert close(decoding.logits, logits_after(base, ids, place))


def test_nonsense_is_refused(base):
    decoding = base.prefill(base.embed(IDS))
    with pytest.raises(ValueError, match="no tokens"):
        decoding.log_likelihood([])
    with pytest.raises(ValueError, match="n >= 1"):
        decoding.read(base.embed([]))
    with pytest.raises(ValueError, match=r"expected \[3\]"):
        decoding.read(base.embed(QUESTIONS[0]), [1, 2])
    with pytest.raises(ValueError, match="not in"):
        decoding.step(base.vocab_size)
    assert close(decoding.logits, logits_after(base, IDS, None))


@pytest.mark.parametrize("model_type", ["MistralConfig", "Gemma2Config"])
def test_forks_of_models_with_sliding_windows(model_type):
    """Layers of their caches are of other kinds than those of a Llama."""
    import transformers

    small = {"vocab_size": 600, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8}
    config = getattr(transformers, model_type)(**small, num_attention_heads=4, num_key_value_heads=2, sliding_window=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = BaseModel("sliding", transformers.AutoModelForCausalLM.from_config(config), frozenset())
    shared = base.prefill(base.embed(IDS))
    likelihood = shared.log_likelihood([7, 8, 9])
    for token in (5, 6):
        fork = shared.fork()
        fork.step(token)
        fork.step(4)
        assert close(fork.logits, logits_after(base, torch.cat([IDS, torch.tensor([token, 4])]), None))
    assert close(likelihood, base.log_likelihood(base.embed(IDS), None, [7, 8, 9]))
    assert close(shared.logits, logits_after(base, IDS, None))


def test_steps_are_rounded_only_when_the_type_is_left_open(tiny_model_dir, base):
    files = ModelFiles("tiny", tiny_model_dir)
    left_open = BaseModel.load(files, device="cpu", dtype="auto").prefill(base.embed(IDS))
    exact = base.prefill(base.embed(IDS))
    for token in (5, 6):
        left_open.step(token)
        exact.step(token)
    expected = logits_after(base, torch.cat([IDS, torch.tensor([5, 6])]), None)
    assert close(exact.logits, expected)
    assert not close(left_open.logits, expected)
    assert close(left_open.logits, expected, 0.5)
