import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny_adapter import ALWAYS, NEVER, write_tiny_adapter

from mctool.app.ask import Reader
from mctool.app.evaluate import answers as answers_module
from mctool.app.evaluate.answer_questions import Asked, DrawConfig
from mctool.app.evaluate.answer_rows import score, summarise
from mctool.app.evaluate.answer_systems import SYSTEMS, Result, Site, open_system
from mctool.app.evaluate.answer_windows import RawWindows
from mctool.app.evaluate.answers import ALSO_PLAIN, PLAIN, AnswerEvaluationConfig, evaluate_answers
from mctool.app.evaluate.measured_nets import MeasuredModel, MeasuredNets, Notes
from mctool.app.evaluate.sets import Listener
from mctool.app.lenses import Lenses
from mctool.core.config import AskConfig
from mctool.core.errors import MismatchError, ResourceError, UsageError
from mctool.core.records import Citation
from mctool.engine.prompt import prompt_ids
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, TokenDocument
from mctool.training.packed_tree import packed_tree

WORDS = ["harbour", "lantern", "storm", "keeper", "letter", "bridge", "orchard", "violin", "winter", "copper", "mirror"]


@pytest.fixture(scope="module")
def wide_model_dir(tiny_model_dir, tmp_path_factory):
    """The tiny model, said to be trained with as many positions as the widest system needs."""
    directory = shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("models") / "wide-llama")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2400}))
    return directory


@pytest.fixture(scope="module")
def files(wide_model_dir):
    return ModelFiles(wide_model_dir.name, wide_model_dir)


@pytest.fixture(scope="module")
def adapter(wide_model_dir, tmp_path_factory):
    return write_tiny_adapter(tmp_path_factory.mktemp("adapter"), wide_model_dir)


@pytest.fixture(autouse=True)
def no_known_adapter(tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))


def write_facts(path, n_records=4, n_facts=30):
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(n_records):
            text, questions = "", []
            for fact in range(n_facts):
                name = f"zeta{number}x{fact}"
                text += f"{' '.join(rng.choices(WORDS, k=20))}. The {name} is "
                start = len(text)
                text += f"blue{fact}. "
                questions.append(
                    {"q": f"What is {name}?", "answer": f"blue{fact}", "start": start, "end": len(text) - 2}
                )
            unanswerable = [f"What was zeta{number}y{fact}?" for fact in range(4)]
            record = {"id": f"r{number}", "text": text, "questions": questions, "unanswerable": unanswerable}
            file.write(json.dumps(record) + "\n")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_facts(tmp_path_factory.mktemp("data") / "facts.jsonl")


@pytest.fixture
def config(data, wide_model_dir):
    return AnswerEvaluationConfig(
        data=(data,),
        draw=DrawConfig(tree_tokens=5500, per_tree=2, questions=3, unanswerable=4),
        model=str(wide_model_dir),
        device="cpu",
        minilm=False,
        max_new_tokens=3,
    )


class Encoder:
    """Vectors by the letters of a text."""

    def embed(self, texts):
        counts = np.array([[text.count(chr(letter)) + 1 for letter in range(97, 123)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_all_systems_answer_the_same_questions(config, adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(answers_module, "load_minilm", Encoder)
    details, told = tmp_path / "details.jsonl", []
    result = evaluate_answers(
        replace(config, adapter=adapter, minilm=True, details=details), Listener(lambda *done: told.append(done))
    )
    names = [*SYSTEMS, *(name + PLAIN for name in SYSTEMS if name in ALSO_PLAIN)]
    assert [row.system for row in result.rows] == names
    assert [(one.trees, one.answerable, one.adversarial, one.foreign) for one in result.sets] == [(2, 3, 2, 2)]
    rows = {row.system: row for row in result.rows}
    for name, row in rows.items():
        assert (row.set, row.n, row.adapter) == ("facts", 3, PLAIN not in name)
        assert row.nll > 0 < row.first_token_s
        assert 0 <= row.f1 <= 1
    assert (rows["ask"].n_adversarial, rows["ask"].n_foreign, rows["oracle"].n_foreign) == (2, 2, 0)
    assert (rows["oracle"].refused, rows["ask"].refused, rows["ask"].lookup) == (None, 0, None)
    read = {name: row.tokens_read for name, row in rows.items()}
    assert read["no text"] < read["ask"] < read["bm25 1024"] <= 1024 < read["bm25 2048"] <= 2048 < read["full text"]
    assert read["full text"] <= 2400 - 3
    assert read["hybrid 1024"] == read["hybrid 1024 (no adapter)"] <= 1024
    assert rows["bm25 1024"].nll != rows["bm25 1024 (no adapter)"].nll

    lines = [json.loads(line) for line in details.read_text().splitlines()]
    assert told[-1] == (len(lines), len(lines)) == (10 * 7 + 3, 73)
    asked = {name: [(line["kind"], line["question"]) for line in lines if line["system"] == name] for name in names}
    assert asked["ask"] == asked["full text"] == asked["hybrid 1024 (no adapter)"]
    assert asked["oracle"] == [one for one in asked["ask"] if one[0] == "answerable"]
    assert max(line["tokens_read"] for line in lines if line["system"] in ("first 1024", "bm25 1024")) <= 1024
    assert all((line["gold"] is None) == (line["nll"] is None) == (line["kind"] != "answerable") for line in lines)
    assert {line["support"] is None for line in lines if PLAIN in line["system"]} == {True}
    assert {line["support"] is None for line in lines if PLAIN not in line["system"]} == {False}


@pytest.mark.parametrize(("threshold", "share"), [(ALWAYS, 1.0), (NEVER, 0.0)])
def test_what_the_adapter_keeps_silent_about_is_refused(config, wide_model_dir, tmp_path, threshold, share):
    folder = write_tiny_adapter(tmp_path, wide_model_dir, threshold, threshold)
    draw = replace(config.draw, questions=1, unanswerable=2)
    result = evaluate_answers(replace(config, draw=draw, adapter=folder, systems=("ask", "bm25 1024")))
    for row in result.rows[:2]:
        assert row.adapter
        assert (row.refused, row.refused_adversarial, row.refused_foreign, row.false_refused) == (share,) * 4
        assert row.tokens_read > 100
        if share:
            assert row.f1 == 0


def test_without_an_adapter_all_are_measured_without_and_that_is_told(config):
    told = []
    result = evaluate_answers(replace(config, systems=("no text",)), Listener(report=told.append))
    assert [(row.system, row.adapter) for row in result.rows] == [("no text (no adapter)", False)]
    assert result.adapter is None
    assert any("no adapter for wide-llama" in line for line in told)
    quiet = []
    evaluate_answers(replace(config, systems=("no text",), lora=False), Listener(report=quiet.append))
    assert not any("adapter" in line for line in quiet)


def test_the_known_adapter_is_used(config, wide_model_dir, tmp_path):
    write_tiny_adapter(tmp_path, wide_model_dir)
    assert evaluate_answers(replace(config, systems=("no text",))).adapter


def test_systems_that_do_not_fit_the_model_are_left_out(config, tiny_model_dir):
    told = []
    narrow = replace(config, model=str(tiny_model_dir), systems=("1024", "full"))
    result = evaluate_answers(narrow, Listener(report=told.append))
    assert [row.system for row in result.rows] == ["full text (no adapter)"]
    assert any("bm25 1024 (no adapter) is left out: it needs 1027 positions" in line for line in told)
    with pytest.raises(UsageError, match="none of the wanted systems"):
        evaluate_answers(replace(narrow, systems=("2048",)))


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"systems": ("magic",)}, UsageError, "--system magic fits no system; there are: no text"),
        ({"systems": ("hybrid",)}, UsageError, "none of the wanted systems"),
        ({"sets": ("other",)}, UsageError, "fits no set; there are: facts"),
        ({"adapter": "missing"}, MismatchError, "card.json cannot be read"),
        ({"details": "missing/d.jsonl"}, ResourceError, "cannot write --details"),
    ],
)
def test_bad_settings_are_refused(config, tmp_path, changes, error, told):
    changes = {key: tmp_path / value if isinstance(value, str) else value for key, value in changes.items()}
    with pytest.raises(error, match=told):
        evaluate_answers(replace(config, **changes))


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--adapter and --no-lora"):
        AnswerEvaluationConfig(adapter=tmp_path, lora=False)
    with pytest.raises(UsageError, match="--max-new-tokens 0"):
        AnswerEvaluationConfig(max_new_tokens=0)


def test_a_set_without_questions_is_refused(config, tmp_path):
    path = tmp_path / "plain.jsonl"
    path.write_text('{"id": "a", "text": "words"}\n')
    with pytest.raises(UsageError, match="plain has no questions"):
        evaluate_answers(replace(config, data=(path,)))


@pytest.fixture(scope="module")
def nets(files):
    return MeasuredNets(files, TextTokenizer.load(files), "cpu", "float32", None)


@pytest.fixture(scope="module")
def tree(files, nets):
    rng = random.Random(3)
    texts = [
        f"{' '.join(rng.choices(WORDS, k=150))} The zeppelin is blue. {' '.join(rng.choices(WORDS, k=99))}"
        for _ in "ab"
    ]
    documents = [
        TokenDocument(f"{n}.py", text, *nets.tokenizer.encode_with_offsets(text)) for n, text in enumerate(texts)
    ]
    with packed_tree(Pack(documents, []), files.name, nets.tokenizer) as tree:
        yield tree


def site(tree, nets, asked):
    windows = RawWindows(tree, nets.tokenizer)
    return Site(
        tree,
        str(nets.files.directory),
        asked,
        windows,
        None,
        Lenses(tree, None, print),
        answer_tokens=9,
        max_new_tokens=9,
    )


def test_a_shared_beginning_changes_nothing(tree, nets):
    asked = [Asked("Is the zeppelin blue?", "foreign"), Asked("Why?", "foreign")]
    gold = nets.tokenizer.encode(" blue")
    here = site(tree, nets, asked)
    with open_system("full text", nets, here) as system:
        shared = [system.answer(one, gold) for one in asked]
    assert nets.model._beginning is None
    again = [system.answer(one, gold) for one in asked]  # now each window is read whole
    for one, other in zip(shared, again, strict=True):
        assert one.answer == other.answer
        assert one.nll == pytest.approx(other.nll, abs=1e-4)
        assert one.tokens_read == other.tokens_read > tree.timeline.total_tokens
        assert one.seconds > 0


def test_the_nll_is_that_of_the_window_that_was_read(tree, nets):
    question, gold = "Is the zeppelin blue?", nets.tokenizer.encode(" yes it is")
    head, tail = prompt_ids(nets.tokenizer, question)
    ids = head + tail
    with open_system("no text", nets, site(tree, nets, [])) as system:
        result = system.answer(Asked(question, "foreign"), gold)
    assert result.tokens_read == len(ids)
    plain = -nets.model.log_likelihood(nets.model.embed(ids), None, gold).mean()
    assert result.nll == pytest.approx(float(plain), abs=1e-4)


def test_ask_is_ask(tree, nets):
    with Reader(tree.path, str(nets.files.directory), "cpu", nets=nets) as reader:
        report = reader.ask("Where is the zeppelin?", AskConfig(max_new_tokens=9))
    with open_system("ask", nets, site(tree, nets, [])) as system:
        result = system.answer(Asked("Where is the zeppelin?", "answerable"), [5, 6])
        nothing = system.answer(Asked("Where is Gryzwald?", "answerable"), [5, 6])
    assert (result.answer, result.citations) == (report.answer, report.citations)
    assert result.tokens_read == report.usage.prompt_tokens
    assert not nothing.supported
    assert (nothing.answer, nothing.tokens_read) == ("", 0)
    with open_system("no text", nets, site(tree, nets, [])) as system:
        bare = system.answer(Asked("Where is Gryzwald?", "answerable"), [5, 6])
    assert nothing.nll == pytest.approx(bare.nll, abs=1e-4)


def test_noting_takes_no_time_of_reading(files, monkeypatch):
    model = MeasuredModel.load(files, "cpu", "float32")
    notes = model.notes = Notes([5, 6, 7])
    model.prefill(model.embed([1, 2, 3]))
    assert notes.nll > 0 > notes.seconds
    first = notes.nll
    model.prefill(model.embed([9, 9]))
    assert notes.nll == first, "only the first window counts"


LOOKUP = Question("q", 1, 40, 80, any_block=True, answer="1.py:Zoo.feed", def_start=20)


@pytest.mark.parametrize(
    ("answer", "cited", "named", "cited_first"),
    [
        ("1/1.py:feed", [("1/1.py", 0, 21)], True, True),
        ("1.py:Zoo.feed", [("1/1.py", 0, 20)], True, False),
        ("somewhere", [("1/1.py", 79, 90)], False, True),
        ("", [("0/0.py", 20, 80), ("1/1.py", 20, 80)], False, False),
    ],
)
def test_lookups_are_found_when_named_or_cited_first(tree, answer, cited, named, cited_first):
    citations = [Citation(path, 1, 1, start, end, "") for path, start, end in cited]
    asked = Asked("q", "answerable", LOOKUP)
    result = Result(answer, bool(answer), None, 2.0, 10, 0.5, citations)
    detail = score("code", "ask", tree, asked, result, cites=True)
    assert (detail.gold, detail.named, detail.cited_first) == ("1/1.py:Zoo.feed", named, cited_first)
    assert detail.f1 == detail.em == float(named)
    without = score("code", "bm25 1024", tree, asked, result, cites=False)
    assert without.cited_first is None
    row = summarise([detail, detail], adapter=False)
    assert (row.lookup, row.named, row.cited_first) == (named or cited_first, named, cited_first)
    assert summarise([without], adapter=False).lookup == float(named)


def test_rows_sum_up_the_answerable_and_the_others_apart(tree):
    place = Question("q", 0, 0, 4, any_block=False, answer="red fox", alternatives=("a vixen",))
    results = [
        (Asked("q", "answerable", place), Result("The Vixen!", True, None, 1.0, 10, 0.1)),
        (Asked("q", "answerable", place), Result("fox", True, None, 3.0, 20, 0.2)),
        (Asked("q", "answerable", place), Result("", False, None, 2.0, 30, 0.3)),
        (Asked("q", "adversarial"), Result("", False, None, None, 40, 0.4)),
        (Asked("q", "foreign"), Result("", False, None, None, 50, 0.5)),
        (Asked("q", "foreign"), Result("cow", True, None, None, 60, 0.6)),
    ]
    row = summarise([score("s", "x", tree, *one, cites=False) for one in results], adapter=True)
    assert row.f1 == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert row.f1_se == pytest.approx(np.std([1, 2 / 3, 0], ddof=1) / np.sqrt(3))
    assert (row.em, row.nll, row.false_refused) == pytest.approx((1 / 3, 2.0, 1 / 3))
    assert (row.refused, row.refused_adversarial, row.refused_foreign) == pytest.approx((2 / 3, 1, 1 / 2))
    assert (row.tokens_read, row.first_token_s) == pytest.approx((35, 0.35))
    assert (row.n, row.n_adversarial, row.n_foreign, row.lookup) == (3, 1, 2, None)
