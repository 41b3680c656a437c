import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mctool.core.errors import UsageError
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.key_net import KeyNet, KeyNetConfig
from mctool.nets.key_pieces import WINDOW_BLOCKS, WordPieces
from mctool.nets.key_weights import load_key_encoder, read_key_card
from mctool.sources.corpus import Question, Sample, SampleDocument, in_dev_split, read_sets
from mctool.training.keys import METRICS_FILE, train_keys
from mctool.training.keys_data import BatchShape, KeyBatch, KeyCorpus
from mctool.training.keys_loop import KeyStage, KeyTrainer, KeyTraining, rate_share
from mctool.training.keys_loss import agree, contrast, imitate
from mctool.training.keys_measure import BUDGETS, beside, key_recall

NAMES = [a + b for a in "bdfgkl" for b in ("ana", "ero", "isu", "oto", "umi")]
VOCABULARY = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "lives", "far", "away", *NAMES]


def encode(text):
    """Tokens of four characters, so that a block has 128."""
    starts = np.arange(0, len(text), 4)
    return starts.astype(np.uint32), starts


def make_tokenizer():
    vocabulary = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def make_record(number, code=False):
    """A text that says of twenty names where they live; each line fills a block."""
    rng = np.random.default_rng(number)
    names = rng.permutation(NAMES)[:20].tolist()
    lines = [f"{name} lives far away ".ljust(127) + "\n" for name in names]
    questions = [
        {"q": f"where is {name}?", "answer": "far away", "start": 128 * place + 12, "end": 128 * place + 20}
        for place, name in enumerate(names)
    ]
    if code:
        questions = [{**one, "def_start": one["start"] - 5, "end": one["end"] + 300} for one in questions[:-3]]
    return {"id": f"{'code' if code else 'prose'}-{number}", "text": "".join(lines), "questions": questions}


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "prose.jsonl", tmp_path / "code.jsonl"]
    for path, code in zip(paths, (False, True), strict=True):
        path.write_text("".join(json.dumps(make_record(number, code)) + "\n" for number in range(12)))
    return paths


@pytest.fixture
def corpus(files):
    return KeyCorpus(read_sets(files), encode)


@pytest.fixture
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return KeyNet(KeyNetConfig(layers=2, width=32, heads=2, mlp=64, vocabulary=len(VOCABULARY), positions=64))


def test_batches_hold_the_wanted_blocks_of_each_question(corpus):
    batch = corpus.draw(BatchShape(windows=6, plain=2, questions=3), np.random.default_rng(0))
    assert sum(len(texts) for texts in batch.windows) == len(batch.blocks)
    assert all(1 <= len(texts) <= WINDOW_BLOCKS for texts in batch.windows)
    texts = [text for texts in batch.windows for text in texts]
    for question, wanted, spared in zip(batch.questions, batch.wanted, batch.spared, strict=True):
        name = question.removeprefix("where is ").rstrip("?")
        here = [text for text, block in zip(texts, batch.blocks, strict=True) if block == wanted[0]]
        assert here
        assert all(name in text for text in here)
        assert spared[0] <= wanted[0] < wanted[1] <= spared[1]
    assert 6 <= len(batch.questions) <= 18
    assert sum(batch.weights) == pytest.approx(6)


@pytest.mark.parametrize(("together", "samples"), [(1, 6), (3, 2), (9, 1)])
def test_questions_of_one_sample_come_together(corpus, together, samples):
    shape = BatchShape(windows=6, together=together, questions=1, code=1)
    drawn = [corpus.draw(shape, np.random.default_rng(seed)).wanted[:, 0] // 20 for seed in range(20)]
    assert max(len(set(of_sample.tolist())) for of_sample in drawn) == samples
    for of_sample in drawn:
        assert all(len(set(of_sample[start : start + together].tolist())) == 1 for start in range(0, 6, together))


def test_the_same_seed_draws_the_same_batch(corpus, files):
    shape = BatchShape(windows=4)
    one = corpus.draw(shape, np.random.default_rng(7))
    same = KeyCorpus(read_sets(files), encode).draw(shape, np.random.default_rng(7))
    assert (one.windows, one.questions) == (same.windows, same.questions)
    assert corpus.draw(shape, np.random.default_rng(8)).questions != one.questions


def test_no_question_that_is_kept_for_measuring_is_drawn(files):
    kept = [sample for samples in read_sets(files).values() for sample in samples if in_dev_split(sample)]
    assert kept
    marked = KeyCorpus(
        {
            name: [
                Sample(s.id, s.documents, [Question("kept", 0, 0, 4, False)] if in_dev_split(s) else s.questions)
                for s in samples
            ]
            for name, samples in read_sets(files).items()
        },
        encode,
    )
    rng = np.random.default_rng(0)
    drawn = {question for _ in range(20) for question in marked.draw(BatchShape(windows=8), rng).questions}
    assert "kept" not in drawn


def test_a_function_is_found_by_its_first_blocks_and_its_body_is_spared():
    text = "x" * (128 * 12)
    question = Question("q", 0, 3 * 128 + 5, 9 * 128, any_block=True, def_start=2 * 128 + 100)
    corpus = KeyCorpus({"code": [Sample("s1", [SampleDocument("a.py", text)], [question])]}, encode)
    batch = corpus.draw(BatchShape(windows=1), np.random.default_rng(0))
    assert batch.wanted.tolist() == [[2, 4]]
    assert batch.spared.tolist() == [[2, 9]]


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(UsageError, match="no question"):
        KeyCorpus({"books": [Sample("s1", [SampleDocument("a", "text")])]}, encode)


@pytest.mark.parametrize("change", [{"windows": 0}, {"together": 0}, {"plain": -1}, {"questions": 0}, {"code": 1.5}])
def test_nonsense_batches_are_refused(change):
    with pytest.raises(UsageError):
        BatchShape(**change)


@pytest.mark.parametrize(
    "make",
    [
        lambda: KeyStage(),
        lambda: KeyStage(steps=1, learning_rate=0),
        lambda: KeyStage(steps=1, contrast=0),
        lambda: KeyStage(steps=1, agree=-1),
        lambda: KeyTraining(KeyStage(steps=1), layers=(0, 6)),
        lambda: KeyTraining(KeyStage(steps=1), start_share=1),
        lambda: KeyTraining(KeyStage(steps=1), temperature=0),
        lambda: KeyTraining(KeyStage(steps=1), warmup=1),
        lambda: KeyTraining(KeyStage(steps=1), seed=-1),
    ],
)
def test_nonsense_settings_are_refused(make):
    with pytest.raises(UsageError):
        make()


def batch_of(wanted, spared, n_keys):
    return KeyBatch([], np.arange(n_keys), ["q"], np.array([wanted]), np.array([spared]), [1.0])


def test_contrast_is_that_of_the_wanted_key_and_all_that_are_not_spared():
    keys = torch.nn.functional.normalize(torch.arange(20.0).reshape(5, 4).sin(), dim=1)
    question = keys[1:2]
    fits = (question @ keys.T / 0.1)[0]
    expected = -torch.log_softmax(fits[[1, 3, 4]], 0)[0]
    found = contrast(question, keys, batch_of((1, 2), (0, 3), 5), 0.1)
    torch.testing.assert_close(found, expected)


def test_contrast_of_two_wanted_keys_is_the_mean():
    keys = torch.nn.functional.normalize(torch.arange(20.0).reshape(5, 4).sin(), dim=1)
    question = keys[1:2]
    each = [contrast(question, keys, batch_of((n, n + 1), (1, 3), 5), 0.1) for n in (1, 2)]
    torch.testing.assert_close(contrast(question, keys, batch_of((1, 3), (1, 3), 5), 0.1), torch.stack(each).mean())


def test_like_the_teacher_costs_nothing():
    vectors = torch.nn.functional.normalize(torch.arange(12.0).reshape(3, 4).sin(), dim=1)
    fits = vectors @ vectors.T
    assert imitate(vectors, vectors) == pytest.approx(0, abs=1e-6)
    assert agree(fits, fits, 0.05) == pytest.approx(0, abs=1e-6)
    assert imitate(-vectors, vectors) == pytest.approx(2)
    assert agree(-fits, fits, 0.05) > 0.1


def test_the_rate_rises_and_falls():
    shares = [rate_share(done, 0.1) for done in np.linspace(0, 1, 101)]
    top = int(np.argmax(shares))
    assert shares[top] == pytest.approx(1, abs=0.02)
    assert top == 10
    assert shares == sorted(shares[: top + 1]) + sorted(shares[top + 1 :], reverse=True)
    assert shares[-1] == 0


def test_training_finds_answers(corpus, net, files):
    config = KeyTraining(KeyStage(steps=60, learning_rate=3e-3, shape=BatchShape(windows=6)))
    lines = []
    KeyTrainer(config, WordPieces(make_tokenizer(), 64), corpus, lines.append).train(net, config.teacher)
    losses = [line["contrast"] for line in lines]
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert not any(parameter.requires_grad for parameter in net.parameters())
    samples = [sample for sample in read_sets(files)["prose"] if in_dev_split(sample)]
    recall = key_recall(KeyEncoder(net, make_tokenizer()), samples, encode, 10_000, 40)
    assert recall[256] > 0.8
    assert list(recall) == list(BUDGETS)
    assert sorted(recall.values()) == list(recall.values())


def test_the_result_is_the_mean_with_the_weights_begun_with(corpus, net):
    begun = {name: weight.clone() for name, weight in net.state_dict().items()}
    ends = {}
    for share in (0.0, 0.3):
        net.load_state_dict(begun)
        config = KeyTraining(KeyStage(steps=2, shape=BatchShape(windows=2)), start_share=share)
        with torch.random.fork_rng(devices=[]):
            KeyTrainer(config, WordPieces(make_tokenizer(), 64), corpus).train(net, config.teacher)
        ends[share] = {name: weight.clone() for name, weight in net.state_dict().items()}
    for name, first in begun.items():
        torch.testing.assert_close(ends[0.3][name], 0.3 * first + 0.7 * ends[0.0][name])


def test_every_parameter_learns_from_each_loss(corpus, net):
    teacher = net.with_layers([0])
    trainer = KeyTrainer(KeyTraining(KeyStage(steps=1)), WordPieces(make_tokenizer(), 64), corpus)
    batch = corpus.draw(BatchShape(windows=4), np.random.default_rng(0))
    for name in ("contrast", "imitate", "agree"):
        net.zero_grad()
        trainer.losses(net, batch, teacher)[name].backward()
        still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
        assert still == [], name
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_blocks_beside_count_within_a_document():
    fits = np.array([0, 4, 0, 8, 0], np.float32)
    assert beside(fits, np.array([0, 3, 3, 5])).tolist() == [1, 4, 1, 10, 2]


@pytest.fixture
def tiny_minilm(tmp_path):
    from transformers import BertConfig, BertModel

    directory = tmp_path / "bert"
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(directory)
    make_tokenizer().save(str(directory / "tokenizer.json"))
    return directory


def test_teacher_and_student_end_up_on_disk_with_their_figures(files, tiny_minilm, tmp_path):
    stage = KeyStage(steps=2, shape=BatchShape(windows=2))
    student = KeyStage(steps=2, shape=BatchShape(windows=2, plain=1), imitate=1.0, agree=1.0)
    config = KeyTraining(stage, student, teacher_layers=3, layers=(0, 2))
    out = tmp_path / "out"
    card = train_keys(config, files, encode, tiny_minilm, out, device="cpu")
    assert card == read_key_card(out / "lens")
    assert card.config.layers == 2
    assert read_key_card(out / "teacher" / "lens").config.layers == 3
    assert {f"{name} recall@{budget}" for name in ("prose", "code") for budget in BUDGETS} == set(card.figures)
    keys, _ = load_key_encoder(out / "lens").block_keys(["lana lives", "far away"])
    assert keys.shape == (2, 32)
    lines = [json.loads(line) for line in (out / METRICS_FILE).read_text().splitlines()]
    assert [set(line) >= {"contrast", "imitate"} for line in lines[:4]] == [False, False, True, True]
    assert lines[-1]["dev"] == card.figures
