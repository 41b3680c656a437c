"""The use case ``ask`` and the Python API, with the tiny model."""

import dataclasses
import json
import shutil

import pytest

import mctool
from mctool.app.ask import Listeners, Reader
from mctool.app.trace import Trace
from mctool.app.verify import verify
from mctool.core.config import AskConfig, FocusConfig
from mctool.core.errors import MismatchError, SourceError, TreeBusyError, TreeNotFoundError, UsageError
from mctool.nets.gistnet import GistNetConfig
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.nets.weights import CARD_FILE, GistNetCard
from mctool.tree.locks import no_readers

WORDS = ("anchor", "barrel", "candle", "dagger", "engine", "feather", "garden", "hammer", "jacket", "kettle", "ladder")
TEXT = "".join(f"The {word} lies in room {number}, says the old list.\n" * 6 for number, word in enumerate(WORDS))
QUESTION = "Where lies the dagger?"


@pytest.fixture
def model(tiny_model_dir):
    return str(tiny_model_dir)


@pytest.fixture
def tree(project, model):
    """A tree with one document; its path."""
    (project / "list.txt").write_text(TEXT)
    (project / "other.txt").write_text("Nothing lies here.\n" * 20)
    report = mctool.ingest("list.txt", "other.txt", model=model, device="cpu")
    assert report.documents.added == 2
    return project / ".mctool"


@pytest.fixture
def reader(tree, model):
    with Reader(tree, model, "cpu") as reader:
        yield reader


def same_but_for_time(report):
    record = report if isinstance(report, dict) else report.to_json()
    for step in record["focus"]["iterations"]:
        step["seconds"] = 0
    return record | {"seconds": 0, "peak_rss_mb": 0}


def test_the_api_gives_the_records_that_the_program_prints(tree, model, run_cli):
    config = AskConfig(max_new_tokens=8, temperature=1.0, seed=1)
    report = mctool.ask(QUESTION, tree, config=config, model=model, device="cpu")
    printed = run_cli("ask", QUESTION, "--json", "--max-new-tokens", 8, "--temperature", 1, "--seed", 1).json
    assert same_but_for_time(report) == same_but_for_time(printed)
    with mctool.open_tree(tree.parent) as opened:
        assert opened.path == tree
        assert [document.path for document in opened.documents] == ["list.txt", "other.txt"]
        assert report.tree.tokens == opened.timeline.total_tokens


def test_the_api_raises_the_errors_that_the_program_tells(tree, model, tmp_path):
    with pytest.raises(UsageError, match="the question is empty"):
        mctool.ask(" ", tree, model=model, device="cpu")
    with pytest.raises(TreeNotFoundError):
        mctool.ask("Why?", tmp_path, model=model, device="cpu")
    with pytest.raises(TreeNotFoundError):
        mctool.open_tree(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"none\.txt"):
        mctool.ingest("none.txt", tree=tree, model=model, device="cpu")


def test_a_refused_tree_is_let_go(tree, tiny_model_dir, tmp_path):
    other = shutil.copytree(tiny_model_dir, tmp_path / "other-model")
    with pytest.raises(MismatchError, match="other-model") as caught:
        Reader(tree, str(other), "cpu")
    assert caught.value.exit_code == 5
    with no_readers(tree / "segments") as alone:
        assert alone


def test_focus_alone_is_what_ask_starts_from(reader):
    focus = same_but_for_time(reader.focus(QUESTION, AskConfig()))
    answered = same_but_for_time(reader.ask(QUESTION, AskConfig(max_new_tokens=4)))
    assert focus["focus"] == answered["focus"]
    assert focus["answer"] == ""
    assert "dagger" in focus["citations"][0]["text"]


def test_a_question_about_other_things_is_not_answered_from_one_word_in_common(reader):
    report = reader.ask("Which quantum dagger did Gryzwald polish on Neptune?", AskConfig())
    assert not report.supported
    assert report.answer == "The documents do not say."
    assert (report.citations, report.usage.prompt_tokens) == ([], 0)


def test_questions_do_not_touch_each_other(reader):
    config = AskConfig(max_new_tokens=6)
    first = same_but_for_time(reader.ask(QUESTION, config))
    reader.ask("Where lies the kettle?", config)
    assert same_but_for_time(reader.ask(QUESTION, config)) == first


def test_listeners_hear_the_cover_and_every_step(reader, tmp_path):
    heard = []
    place = tmp_path / "trace"
    with place.open("w") as stream:
        listeners = Listeners(on_refocus=lambda *event: heard.append(event), trace=Trace(stream))
        report = reader.focus(QUESTION, AskConfig(), listeners)
    assert [iteration for iteration, _, _ in heard] == list(range(len(report.focus.iterations) + 1))
    assert heard[0][2] is None
    assert [record for _, _, record in heard[1:]] == report.focus.iterations
    assert heard[-1][1] == report.focus.entries
    lines = [json.loads(line) for line in place.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["question", *["refocus"] * len(report.focus.iterations), "answer"]


def says(monkeypatch, tokenizer, text):
    """Let the model say ``text``, whatever it reads; returns the windows that it reads."""
    import torch

    from mctool.nets.base_model import BaseModel

    windows, ids = [], tokenizer.encode(text)

    class Script:
        def __init__(self, n_said):
            self.n_said = n_said

        @property
        def logits(self):
            return torch.eye(600)[ids[self.n_said] if self.n_said < len(ids) else 2] * 50

        def step(self, _token):
            self.n_said += 1

    def prefill(_model, embeddings, positions):
        windows.append(len(embeddings))
        return Script(32 * (len(windows) - 1))

    monkeypatch.setattr(BaseModel, "prefill", prefill)
    return windows


# Each word is told more than once, so that the 32 tokens between two refocusings hold some of both.
SPOKEN = "".join(f" the {word}, well," for word in ("feather", "feather", "garden", "jacket", "ladder", "ladder"))


def test_focus_follows_the_answer_and_the_report_tells_where_it_went(reader, monkeypatch):
    tokenizer = reader.text_nets.tokenizer
    assert len(tokenizer.encode(SPOKEN)) > 40
    windows = says(monkeypatch, tokenizer, SPOKEN)
    config = AskConfig(FocusConfig(narrow_tokens=300, narrow_share=0.1), max_new_tokens=90)
    before = reader.focus(QUESTION, config)
    heard = []
    report = reader.ask(QUESTION, config, Listeners(on_refocus=lambda *event: heard.append(event)))
    assert report.supported
    assert report.answer == SPOKEN.strip()
    assert len(windows) > 1, "the window changed"
    assert not any("feather" in citation.text for citation in before.citations)
    assert any("feather" in citation.text for citation in report.citations)
    cited = {block for citation in report.citations for block in range(citation.start_char, citation.end_char)}
    raw = {char for entry in report.focus.entries if entry.lod == 0 for char in range(entry.start_char, entry.end_char)}
    assert cited == raw
    steps = report.focus.iterations
    assert len(steps) > len(before.focus.iterations)
    assert [iteration for iteration, _, _ in heard] == list(range(len(steps) + 1))
    assert heard[-1][1] == report.focus.entries
    assert steps[-1].cost == report.focus.cost == sum(entry.cost for entry in report.focus.entries)
    assert all(step.cost <= report.focus.w_max for step in steps)
    assert report.usage.window_slots == sum(entry.cost for entry in report.focus.entries if entry.lod == 0)


def test_a_window_is_not_read_again_when_focus_stays(reader, monkeypatch):
    windows = says(monkeypatch, reader.text_nets.tokenizer, " the dagger lies, I say, where it lies;" * 3)
    report = reader.ask("dagger", AskConfig(max_new_tokens=90))
    assert report.usage.completion_tokens > 32
    assert len(windows) == 1


def test_gists_of_another_net_are_refused(project, model, tiny_model_dir, tree, tmp_path, monkeypatch):
    root = tmp_path / "other-weights"
    folder = root / tiny_model_dir.name
    folder.mkdir(parents=True)
    tokenizer = TextTokenizer.load(ModelFiles(tiny_model_dir.name, tiny_model_dir)).fingerprint

    def use(width):
        config = GistNetConfig(width=width, head_width=16)
        card = GistNetCard(tiny_model_dir.name, tokenizer, 64, 3, config, window_gists=4)
        (folder / CARD_FILE).write_text(json.dumps(card.to_json()))

    monkeypatch.setenv("MCTOOL_WEIGHTS", str(root))
    asked = {"model": model, "device": "cpu", "config": AskConfig(max_new_tokens=2)}
    use(width=32)  # the net that the tree was made with, now allowed in windows
    report = mctool.ask(QUESTION, tree, **asked)
    raw = sum(entry.cost for entry in report.focus.entries if entry.lod == 0)
    assert raw < report.usage.window_slots <= raw + 4
    use(width=64)
    with pytest.raises(MismatchError, match="gistnet"):
        mctool.ask(QUESTION, tree, **asked)


def test_verify_tells_an_index_that_is_not_the_trees(tree):
    assert verify(tree).ok
    shutil.rmtree(tree / "lexical")
    (damage,) = verify(tree).damage
    assert (damage.where, damage.start_block) == ("lexical", None)
    assert damage.what.startswith("lexical index: ")


def test_verify_tells_other_damage_without_the_index(tree):
    for file in [file for file in tree.glob("segments/*/lod0/**/*") if file.is_file()]:
        file.unlink()
    shutil.rmtree(tree / "lexical")
    found = verify(tree)
    assert not found.ok
    assert all("lod0" in damage.where or damage.where == "lexical" for damage in found.damage)
    assert any("lod0" in damage.where for damage in found.damage)


def test_an_interrupted_first_ingest_leaves_nothing(project, model, monkeypatch):
    from mctool.tree import TreeWriter

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    (project / "list.txt").write_text(TEXT)
    monkeypatch.setattr(TreeWriter, "commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mctool.ingest("list.txt", model=model, device="cpu")
    assert [place.name for place in project.iterdir()] == ["list.txt"]


def test_records_cannot_be_changed(reader):
    report = reader.focus(QUESTION, AskConfig())
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.answer = "other"


def test_asking_goes_on_while_another_process_ingests(tree, reader, model):
    from mctool.tree import Layout
    from mctool.tree.catalog_writer import CatalogWriter

    (tree.parent / "list.txt").write_text("changed")
    writer = CatalogWriter(Layout(tree))
    try:
        with pytest.raises(TreeBusyError):
            mctool.ingest("list.txt", tree=tree, model=model, device="cpu")
        assert reader.focus(QUESTION, AskConfig()).supported
    finally:
        writer.close()
