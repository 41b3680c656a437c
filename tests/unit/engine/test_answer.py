import numpy as np
import pytest
import torch

from mctool.engine.answer import (
    AnswerConfig,
    answer_nats,
    decode_answer,
    likeliest_answer,
    read_window,
    silence,
)
from mctool.engine.assemble import Window
from mctool.nets.base_model import BaseModel
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

END = 2


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return BaseModel.load(ModelFiles("tiny", tiny_model_dir), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir):
    return TextTokenizer.load(ModelFiles("tiny", tiny_model_dir))


class Script:
    """A model that says given tokens, whatever it reads."""

    eos_ids = frozenset({END})

    def __init__(self, ids):
        self._logits = [torch.eye(600)[i] * 50 for i in ids]
        self.read = []

    def prefill(self, embeddings, positions):
        self.read.append(len(embeddings))
        return self

    def embed(self, ids):
        return torch.zeros(len(ids), 4)

    @property
    def logits(self):
        return self._logits[0]

    def step(self, token):
        self._logits.pop(0)


WINDOW = Window(torch.zeros(3, 4), np.arange(3), 3)


def said(tokenizer, text, most=100, **listeners):
    """The answer when the model says ``text``, then an end token."""
    return decode_answer(Script([*tokenizer.encode(text), END]), tokenizer, WINDOW, AnswerConfig(most), **listeners)


def test_an_answer_ends_with_the_end_token(tokenizer):
    answer = said(tokenizer, " the old pier")
    assert (answer.text, answer.ids) == ("the old pier", tokenizer.encode(" the old pier"))
    assert answer.first_token_at is not None


def test_an_answer_ends_with_its_line(tokenizer):
    heard = []
    answer = said(tokenizer, "\n\n the old pier\nQuestion: and then?", on_text=heard.append)
    assert answer.text == "the old pier"
    assert "".join(heard) == "the old pier"
    assert tokenizer.decode(answer.ids).strip() == "the old pier"


def test_an_answer_ends_at_max_new_tokens_and_not_before(tokenizer):
    ids = tokenizer.encode("The lighthouse keeper wrote many letters")
    assert said(tokenizer, "The lighthouse keeper wrote many letters", most=3).ids == ids[:3]
    assert said(tokenizer, "The lighthouse keeper wrote many letters", most=len(ids)).ids == ids


@pytest.mark.parametrize("said_over_and_over", ["north ", "a b c ", "the ship had gone "])
def test_a_loop_ends_the_answer(tokenizer, said_over_and_over):
    answer = said(tokenizer, said_over_and_over * 40, most=400)
    assert 3 <= answer.text.count(said_over_and_over.strip()) <= 25


@pytest.mark.parametrize("text", ["1000000 boats", "It is 10,000,000,000.", "no, no, no, said she", "-----"])
def test_what_is_said_a_few_times_is_no_loop(tokenizer, text):
    assert said(tokenizer, text).text == text


def test_a_character_of_several_tokens_comes_whole(tokenizer):
    heard = []
    answer = said(tokenizer, "🦀 in 東京都", on_text=heard.append)
    assert answer.text == "".join(heard) == "🦀 in 東京都"


LONG = "She asked the captain where the ship had gone, and the captain said that it had gone north."


def test_an_answer_without_words_is_empty(tokenizer):
    heard = []
    assert said(tokenizer, "\n \n", on_text=heard.append).text == ""
    assert heard == []


def test_refocusing_is_asked_after_every_block_with_the_text_so_far(tokenizer):
    asked = []
    answer = said(tokenizer, LONG * 4, refocus=lambda text: asked.append(text))
    ids = tokenizer.encode(LONG * 4)
    assert answer.ids == ids
    assert len(asked) == (len(ids) - 1) // 32 >= 2
    assert asked[0] == tokenizer.decode(ids[:32])


def random_window(base, n, seed):
    ids = torch.randint(3, 500, (n,), generator=torch.Generator().manual_seed(seed))
    positions = np.arange(n) + np.where(np.arange(n) > n // 2, 40, 0)
    return Window(base.embed(ids), positions, n)


def from_scratch(base, windows, n_tokens, temperature, seed):
    """Every token chosen from logits of a pass over its whole window and all tokens before."""
    generator = torch.Generator().manual_seed(seed)
    ids = []
    for count in range(n_tokens):
        window = windows[min(count // 32, len(windows) - 1)]
        read = torch.cat([window.embeddings, base.embed(ids)])
        positions = np.concatenate([window.positions, window.positions[-1] + 1 + np.arange(count)])
        with torch.no_grad():
            logits = base.logits(read, positions)[-1].double()
        ids.append(int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)))
    return ids


def test_an_answer_over_a_refocus_is_that_of_the_new_window_read_from_scratch(base, tokenizer):
    windows = [random_window(base, n, n) for n in (20, 33, 25)]
    rest = iter(windows[1:])
    answer = decode_answer(
        base, tokenizer, windows[0], AnswerConfig(80, temperature=1.0, seed=2), refocus=lambda _text: next(rest)
    )
    assert len(answer.ids) > 64, "the seed should give a long answer"
    assert answer.window is windows[2]
    assert answer.ids == from_scratch(base, windows, len(answer.ids), 1.0, 2)


def test_the_same_seed_gives_the_same_answer_and_another_another(base, tokenizer):
    window = random_window(base, 20, 1)
    drawn = [
        decode_answer(base, tokenizer, window, AnswerConfig(12, temperature=1.0, seed=seed)).ids for seed in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_temperature_the_likeliest_token_is_taken(base, tokenizer):
    window = random_window(base, 20, 2)
    first = int(base.logits(window.embeddings, window.positions)[-1].argmax())
    assert decode_answer(base, tokenizer, window, AnswerConfig(1, seed=9)).ids == [first]


def test_the_log_likelihood_of_an_answer_is_the_sum_over_its_tokens(base, tokenizer):
    window, ids = random_window(base, 20, 3), [7, 8, 9]
    expected = 0.0
    for count, token in enumerate(ids):
        read = torch.cat([window.embeddings, base.embed(ids[:count])])
        positions = np.concatenate([window.positions, window.positions[-1] + 1 + np.arange(count)])
        with torch.no_grad():
            expected += float(torch.log_softmax(base.logits(read, positions)[-1], -1)[token])
    assert answer_nats(base, window, ids) == pytest.approx(expected, abs=1e-3)
    assert answer_nats(base, window, []) == 0


def test_silence_is_the_log_odds_of_an_end_token(base):
    window = random_window(base, 20, 4)
    decoding = read_window(base, window)
    with torch.no_grad():
        chances = torch.softmax(base.logits(window.embeddings, window.positions)[-1].double(), -1)
    for ends in ({END}, {END, 7, 9}):
        p_end = float(chances[list(ends)].sum())
        assert silence(decoding, ends) == pytest.approx(np.log(p_end) - np.log1p(-p_end), abs=1e-4)
    with pytest.raises(ValueError, match="without end tokens"):
        silence(decoding, frozenset())


def test_an_answer_goes_on_from_a_window_that_was_read(base, tokenizer, monkeypatch):
    window, config = random_window(base, 20, 5), AnswerConfig(12, temperature=1.0, seed=5)
    expected = decode_answer(base, tokenizer, window, config)
    read = read_window(base, window)
    monkeypatch.setattr(BaseModel, "prefill", None)
    found = decode_answer(base, tokenizer, window, config, read=read)
    assert (found.ids, found.window) == (expected.ids, window)
    assert found.prefill_seconds < expected.prefill_seconds


class Reluctant(Script):
    """A model that would rather end than say a word, after some line ends."""

    def __init__(self, tokenizer, n_pauses):
        (line_end,), (word, *_) = tokenizer.encode("\n"), tokenizer.encode(" said")
        super().__init__([END] * (n_pauses + 2))
        for place, token in enumerate([line_end] * n_pauses + [word]):
            self._logits[place][token] = 20


@pytest.mark.parametrize("n_pauses", [0, 2])
def test_an_answer_that_must_speak_does_not_end_before_its_first_word(tokenizer, n_pauses):
    spoken = decode_answer(Reluctant(tokenizer, n_pauses), tokenizer, WINDOW, AnswerConfig(9, must_speak=True))
    assert spoken.text == tokenizer.decode([spoken.ids[-1]]).strip() != ""
    assert len(spoken.ids) == n_pauses + 1
    assert decode_answer(Reluctant(tokenizer, n_pauses), tokenizer, WINDOW, AnswerConfig(9)).ids == []


class Table:
    """A model that knows how likely each token is after each beginning of an answer."""

    eos_ids = frozenset({END, END + 1})

    def __init__(self, chances, said=()):
        self._chances, self._said = chances, tuple(said)

    @property
    def logits(self):
        chances = torch.full((600,), 1e-9)
        for token, chance in self._chances.get(self._said, {END: 1.0}).items():
            chances[token] = chance
        return chances.log()

    def embed(self, ids):
        return torch.tensor(ids)

    def fork(self):
        return Table(self._chances, self._said)

    def read(self, embeddings):
        self._said += tuple(embeddings.tolist())

    def step(self, token):
        self._said += (token,)


def likeliest(tokenizer, chances, most=32):
    model = Table(chances)
    answer = likeliest_answer(model, tokenizer, WINDOW, model, most)
    assert not model._said  # what was read can be gone on with
    return answer


def test_the_likeliest_answer_need_not_begin_with_the_likeliest_token(tokenizer):
    a, b, c, d = tokenizer.encode(" pier")[0], *range(300, 303)
    chances = {(): {a: 0.5, b: 0.4}, (a,): {END: 0.4, c: 0.3, d: 0.3}, (b,): {c: 0.8, END: 0.2}, (b, c): {END: 0.9}}
    answer = likeliest(tokenizer, chances)  # .5 * .4 < .4 * .8 * .9
    assert answer.ids == [b, c]
    assert answer.text == tokenizer.decode([b, c]).strip()
    assert answer.first_token_at is not None


def test_all_ends_of_an_answer_count_together_and_none_is_an_answer(tokenizer):
    chances = {(): {END: 0.6, 300: 0.3, 301: 0.1}, (300,): {END: 0.3, END + 1: 0.3, 302: 0.4}}
    assert likeliest(tokenizer, chances).ids == [300]


def test_the_likeliest_answer_is_one_line(tokenizer):
    line_end = tokenizer.encode("\n")[0]
    chances = {(): {300: 1.0}, (300,): {line_end: 0.6, 301: 0.4}, (300, 301): {END: 0.6, line_end: 0.4}}
    assert likeliest(tokenizer, chances).ids == [300, 301]


def test_the_likeliest_answer_has_no_more_tokens_than_it_may(tokenizer):
    chances = {tuple(range(300, end)): {end: 1.0} for end in range(300, 310)}
    assert likeliest(tokenizer, chances, most=4).ids == [300, 301, 302, 303]


def test_an_answer_that_is_not_found_soon_is_not_looked_for_on(tokenizer):
    chances = {tuple(range(300, end)): {end: 1.0} for end in range(300, 400)}
    assert likeliest(tokenizer, chances, most=100) is None
