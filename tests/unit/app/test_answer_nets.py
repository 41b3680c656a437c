"""Answers with an adapter: the tiny model and random updates."""

import shutil
from dataclasses import replace

import pytest
from tiny_adapter import ALWAYS, NEVER, tiny_card, write_tiny_adapter

import mctool
from mctool.app.answer_nets import AnswerNets
from mctool.app.ask import Reader
from mctool.core.config import AskConfig
from mctool.core.errors import MismatchError
from mctool.nets.adapter_card import find_adapter, write_adapter_card
from mctool.nets.base_model import BaseModel
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

TEXT = "".join(
    f"Room {number} holds the {word}.\n" * 4 for number, word in enumerate(["anchor", "candle", "dagger"] * 9)
)
QUESTION = "Where is the dagger?"
SHORT = AskConfig(max_new_tokens=6)


@pytest.fixture
def root(tmp_path, tiny_weights, monkeypatch, project):
    """A directory of nets with a GistNet for the tiny model, and room for an adapter."""
    place = shutil.copytree(tiny_weights, tmp_path / "weights")
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(place))
    return place


@pytest.fixture
def ask(root, project, tiny_model_dir):
    """Ask with an adapter that has given thresholds."""
    (project / "rooms.txt").write_text(TEXT)
    mctool.ingest("rooms.txt", model=str(tiny_model_dir), device="cpu")

    def ask(question=QUESTION, config=SHORT, *, short=NEVER, long=NEVER, lora=True, **more):
        write_tiny_adapter(root, tiny_model_dir, short, long)
        with Reader(project / ".mctool", str(tiny_model_dir), "cpu", lora=lora, **more) as reader:
            return reader.ask(question, config)

    return ask


def test_a_model_answers_with_its_adapter_unless_told_otherwise(ask, tiny_model_dir, project):
    adapted, plain = ask(), ask(lora=False)
    assert adapted.lora == find_adapter(tiny_model_dir.name).fingerprint
    assert (plain.lora, plain.support) == (None, None)
    assert adapted.supported
    assert adapted.answer != plain.answer
    assert adapted.usage.prompt_tokens == plain.usage.prompt_tokens
    unknown = ask("Which quantum dagger did Gryzwald polish on Neptune?")
    assert unknown.supported, "the adapter never refuses, whatever the terms of the question"
    assert not ask("Which quantum dagger did Gryzwald polish on Neptune?", lora=False).supported


def test_silence_refuses_and_shows_what_was_found(ask):
    answered, refused = ask(), ask(short=ALWAYS)
    assert not refused.supported
    assert refused.answer == "The documents do not say."
    assert refused.citations == answered.nearest == []
    assert [passage.text for passage in refused.nearest] == [citation.text for citation in answered.citations]
    assert "dagger" in refused.nearest[0].text
    assert refused.support < 0 < answered.support
    assert refused.usage.prompt_tokens == answered.usage.prompt_tokens > 0
    assert refused.usage.completion_tokens == 0
    assert 0 < refused.seconds.prefill < refused.seconds.first_token <= refused.seconds.total


def test_the_threshold_is_that_of_the_style(ask):
    silence = -ask(short=0.0).support
    assert ask(short=silence + 1e-6, long=ALWAYS).supported
    assert not ask(short=silence - 1e-6).supported
    long = replace(SHORT, style="long")
    assert ask(config=long, short=ALWAYS).supported
    assert not ask(config=long, long=ALWAYS).supported
    assert not ask("Why is the dagger in its room?", long=ALWAYS).supported
    assert ask("Why is the dagger in its room?", config=replace(SHORT, style="short"), long=ALWAYS).supported


def test_a_window_without_text_is_not_read(ask, monkeypatch):
    monkeypatch.setattr(BaseModel, "prefill", None)
    report = ask("Qwertzuiop?")
    assert (report.supported, report.support, report.nearest) == (False, None, [])
    assert report.usage.prompt_tokens == 0


def test_without_an_answer_the_terms_decide_and_no_adapter_is_needed(ask):
    report = ask(config=AskConfig(max_new_tokens=0), short=ALWAYS)
    assert (report.supported, report.lora, report.support) == (True, None, None)


def test_explained_citations_are_measured_with_the_adapter(ask, tiny_model_dir):
    config = AskConfig(max_new_tokens=6, explain=True)
    adapted, plain = ask(config=config), ask(config=config, lora=False)
    for report in (adapted, plain):
        worth = [citation.delta_nats for citation in report.citations]
        assert worth == sorted(worth, reverse=True)
        assert len(worth) == 1 or worth[-1] > 0.05
    assert adapted.citations[0].delta_nats != plain.citations[0].delta_nats


def test_one_model_serves_several_readers(ask, tiny_model_dir, monkeypatch):
    files = ModelFiles(tiny_model_dir.name, tiny_model_dir)
    expected = ask().answer
    loads, load = [], BaseModel.load
    monkeypatch.setattr(BaseModel, "load", lambda *arguments: loads.append(1) or load(*arguments))
    nets = AnswerNets.of_model(files, TextTokenizer.load(files), "cpu", "auto", lora=True)
    assert ask(nets=nets).answer == ask(nets=nets).answer == expected
    assert len(loads) == 1


def test_an_adapter_of_another_model_is_refused_with_the_way_round_it(ask, root, tiny_model_dir):
    ask()
    card = replace(tiny_card(tiny_model_dir), base_sha256="cd" * 32)
    write_adapter_card(root / tiny_model_dir.name / "lora", card)
    files = ModelFiles(tiny_model_dir.name, tiny_model_dir)
    with pytest.raises(MismatchError, match="--no-lora"):
        AnswerNets.of_model(files, TextTokenizer.load(files), "cpu", "auto", lora=True)
    AnswerNets.of_model(files, TextTokenizer.load(files), "cpu", "auto", lora=False)
    assert ask(lora=False).lora is None


def test_a_model_that_cannot_end_cannot_refuse(ask, root, tiny_model_dir, monkeypatch):
    load = BaseModel.load

    def load_endless(*arguments):
        model = load(*arguments)
        model.eos_ids = frozenset()
        return model

    monkeypatch.setattr(BaseModel, "load", load_endless)
    with pytest.raises(MismatchError, match="has no end tokens"):
        ask()
    assert ask(lora=False).usage.completion_tokens == 6
