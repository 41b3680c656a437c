import itertools
import json
import shutil
from pathlib import Path

import pytest
from tiny_keys import write_tiny_key_encoder

from mctool.app.evaluate import speed_ask, speed_ingest, speed_reingest, speed_scale
from mctool.app.evaluate.speed import SpeedConfig, evaluate_speed
from mctool.app.evaluate.speed_ingest import chunk_texts
from mctool.app.evaluate.speed_rows import ProgramRun, against, run_python, seconds_in_turn, write_documents
from mctool.app.evaluate.texts import copies, first_chars
from mctool.app.ingest import IngestConfig, ingest
from mctool.core.errors import MctoolError, UsageError
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import SampleDocument

DOCUMENTS = [SampleDocument("a.py", "x = 1\n" * 200), SampleDocument("b.py", "y = 2\n" * 100)]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "code.jsonl"
    path.write_text("".join(json.dumps({"id": d.path, "text": d.text}) + "\n" for d in DOCUMENTS))
    return path


def test_ratios_are_over_the_baseline():
    rows = against("old", {"new": 6.0, "old": 3.0}, "m", "s")
    assert [(row.system, row.value, row.ratio, row.baseline) for row in rows] == [
        ("new", 6.0, 2.0, "old"),
        ("old", 3.0, None, None),
    ]
    assert [row.ratio for row in against("missing", {"new": 6.0}, "m", "s")] == [None]


def test_runs_are_timed_in_turn():
    calls = []
    taken = seconds_in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert set(taken) == {"a", "b"}


def test_a_process_that_fails_is_told():
    assert run_python(["-c", "print(7)"]) == "7\n"
    with pytest.raises(MctoolError, match="failed: ZeroDivisionError"):
        run_python(["-c", "1 / 0"])


def test_texts_grow_by_copies_and_are_cut_at_a_size():
    names = [document.path for document in itertools.islice(copies(DOCUMENTS), 5)]
    assert names == ["0/a.py", "0/b.py", "1/a.py", "1/b.py", "2/a.py"]
    cut = first_chars(copies(DOCUMENTS), 2000)
    assert [len(document.text) for document in cut] == [1200, 600, 200]
    assert len({document.text for document in first_chars(copies(DOCUMENTS), 10_000)}) == len(
        first_chars(copies(DOCUMENTS), 10_000)
    )


def test_documents_become_files_in_their_order(tmp_path):
    write_documents(DOCUMENTS, tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [file.read_text() for file in files] == [document.text for document in DOCUMENTS]


def test_chunks_overlap_by_half(tiny_model_dir):
    tokenizer = TextTokenizer.load(ModelFiles("tiny", tiny_model_dir))
    text = "The harbour master counted boats and checked papers. " * 40
    chunks = chunk_texts([SampleDocument("a", text)], tokenizer)
    sizes = [len(tokenizer.encode(chunk)) for chunk in chunks]
    assert all(abs(size - 128) < 4 for size in sizes[:-1])
    assert all(chunk in text for chunk in chunks)
    assert all(before[len(before) // 2 + 20 :] in text and before[-20:] in after for before, after in
               itertools.pairwise(chunks))  # fmt: skip
    assert text.endswith(chunks[-1])
    assert chunk_texts([SampleDocument("a", text)], tokenizer, 2) == chunks[:2]


def test_decode_is_measured_beside_transformers(data, tiny_model_dir):
    rows = evaluate_speed(SpeedConfig(("decode",), (data,), model=str(tiny_model_dir), device="cpu")).rows
    assert [(row.measure, row.system, row.baseline) for row in rows] == [
        ("decode", "transformers generate", None),
        ("decode", "mctool", "transformers generate"),
        ("prefill", "transformers generate", None),
        ("prefill", "mctool", "transformers generate"),
    ]
    assert all(row.value > 0 for row in rows)


def test_ask_is_measured_on_trees_of_growing_size(data, tiny_model_dir, monkeypatch):
    calls = []

    def run_mctool(command, *arguments):
        calls.append(command)
        assert ("--dtype" in arguments) == (command == "ask")
        tokens = int(arguments[arguments.index("--tree") + 1].split("/")[-2])
        seconds = {"total": 3.0, "first_token": 2.0, "lens": 0.25, "focus": 0.25}
        return {"tree": {"tokens": tokens}, "seconds": seconds, "peak_rss_mb": 100.0}, 3.5

    monkeypatch.setattr(speed_ask, "run_mctool", run_mctool)
    config = SpeedConfig(("ask",), (data,), tree_sizes=(400, 100), model=str(tiny_model_dir), dtype="float16")
    rows = {(row.measure, row.system): row for row in evaluate_speed(config).rows}
    assert calls == ["ingest"] * 2 + ["ask"] * 6
    assert rows["ask, tree", "400 tokens"].ratio == 4
    assert rows["ask, first token", "100 tokens"].value == 2.5
    assert rows["ask, refocusing", "400 tokens"].ratio == pytest.approx(0.5 / 2.5)


def test_a_question_without_an_answer_is_refused(data, tiny_model_dir, monkeypatch):
    record = {"tree": {"tokens": 1}, "seconds": {"first_token": 0.0, "total": 1.0}, "peak_rss_mb": 1.0}
    monkeypatch.setattr(speed_ask, "run_mctool", lambda *_arguments: (record, 1.0))
    with pytest.raises(UsageError, match="--question"):
        evaluate_speed(SpeedConfig(("ask",), (data,), tree_sizes=(100,), model=str(tiny_model_dir)))


def test_ingest_is_split_into_its_parts(data, tiny_model_dir, tiny_weights, tmp_path, monkeypatch):
    def time_mctool(*_arguments):
        seconds = {"read": 1.0, "tokenize": 2.0, "gist": 3.0, "keys": 0.5, "write": 4.0, "total": 8.5}
        record = {"tokens_added": 450, "bytes_on_disk": 900, "tokens_per_second": 50.0, "seconds": seconds}
        return ProgramRun(record, 9.0, 4.5)

    weights = shutil.copytree(tiny_weights, tmp_path / "weights", dirs_exist_ok=True)
    write_tiny_key_encoder(weights)
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(weights))
    monkeypatch.setattr(speed_ingest, "time_mctool", time_mctool)
    monkeypatch.setattr(speed_ingest, "find_minilm", lambda: None)
    monkeypatch.setattr(speed_ingest, "find_spec", lambda _package: None)
    config = SpeedConfig(("ingest",), (data,), model=str(tiny_model_dir), device="cpu")
    rows = {(row.measure, row.system): row for row in evaluate_speed(config).rows}
    assert rows["ingest code", "mctool"].value == 50
    assert rows["ingest code, processor time", "mctool"].value == 100
    assert rows["ingest time code", "mctool gist"].ratio == 3 / 8.5
    assert rows["size code", "text"].value == 4
    assert rows["size code", "mctool"].ratio == 0.5
    assert rows["matrix products", "GistNet"].ratio > 0
    (of_keys,) = (row for (_, system), row in rows.items() if system == "key encoder")
    assert of_keys.ratio > 0


@pytest.fixture
def ingested(monkeypatch) -> list[int]:
    """Tokens of the trees that a stand-in for the program has made, in their order."""

    def time_mctool(command, *arguments):
        assert ("--dtype" in arguments) == (command == "ask")
        if command == "ingest":
            place, tree = Path(arguments[0]), Path(arguments[2])
            tokens.append(int(sum(len(file.read_text()) for file in place.rglob("*.py")) / 4))
            tree.write_text(str(tokens[-1]))
        n = int(Path(arguments[2]).read_text())
        seconds = {"total": 3.0, "first_token": 2.0, "lens": n / 100, "focus": 0.5, "prefill": 1.0}
        return ProgramRun({
            "tokens": n, "tokens_per_second": 50.0, "peak_rss_mb": 100.0, "bytes_on_disk": n * 40,
            "blocks": 90, "nodes": {"lod1": 90, "lod2": 20}, "seconds": seconds, "focus": {"entries": [{}] * 20},
        }, 3.5, 2.0 + n / 100)  # fmt: skip

    tokens: list[int] = []
    monkeypatch.setattr(speed_scale, "time_mctool", time_mctool)
    return tokens


def test_scale_is_measured_by_size_and_estimated_from_the_slope(data, tiny_model_dir, ingested):
    config = SpeedConfig((), (data,), model=str(tiny_model_dir), scale=(400, 100))
    rows = {(row.measure, row.system): row for row in evaluate_speed(config).rows}
    assert ingested == [100, 400]
    estimate = "1,000,000,000 (estimate)"
    assert rows["scale, ask, first token", "400 tokens"].value == 2.5
    assert rows["scale, ask, processor time", "400 tokens"].ratio == 2
    assert rows["scale, ask, lens", "400 tokens"].ratio == 4
    assert rows["scale, ask, lens", estimate].value == pytest.approx(1e7)
    assert rows["scale, ask, focus", estimate].value == pytest.approx(0.5)
    assert ("scale, ask, first token", estimate) not in rows
    assert ("scale, ingest, peak memory", estimate) not in rows  # these trees are less than a segment
    assert rows["scale, size on disk", estimate].value == pytest.approx(4e4)
    assert rows["scale, ingest time", estimate].value == pytest.approx(1e9 / 50 / 3600)
    assert rows["scale, ask, nodes in the window", "100 tokens"].value == 0.1


def test_trees_that_are_kept_are_not_made_again(data, tiny_model_dir, ingested, tmp_path):
    def measure(*scale):
        config = SpeedConfig((), (data,), model=str(tiny_model_dir), scale=scale, keep=tmp_path)
        return {(row.measure, row.system): row.value for row in evaluate_speed(config).rows}

    measure(100)
    cut_short = tmp_path / "400" / "text"
    cut_short.mkdir(parents=True)
    (cut_short / "more.py").write_text("x" * 400)
    rows = measure(100, 400)
    assert ingested == [100, 400]
    assert rows["scale, ingest, processor time", "100 tokens"] == 3.0


@pytest.mark.parametrize("changes", [{"device": "cpu"}, {"data": "more"}, {"note": None}])
def test_a_tree_that_is_kept_is_not_taken_for_one_of_other_texts_or_options(
    data, tiny_model_dir, ingested, tmp_path, changes
):
    def measure(device="auto", data=data):
        config = SpeedConfig(
            (), (data,), model=str(tiny_model_dir), device=device, scale=(100,), keep=tmp_path / "kept"
        )
        evaluate_speed(config)

    measure()
    figures = tmp_path / "kept" / "100" / "ingest.json"
    if "note" in changes:  # as an earlier version left it
        kept = json.loads(figures.read_text())
        figures.write_text(json.dumps({name: kept[name] for name in ("record", "wall", "cpu")}))
    elif "data" in changes:
        data.write_text(data.read_text().replace("x = 1", "x = 3"))
    with pytest.raises(UsageError, match="other texts or options"):
        measure(**{name: value for name, value in changes.items() if name == "device"})
    assert ingested == [100]


def test_a_tree_of_many_ingests_is_timed_beside_a_new_one(data, tiny_model_dir, tiny_weights, monkeypatch):
    def time_mctool(command, *arguments):
        assert ("--dtype" in arguments) == (command == "ask")
        name = Path(arguments[arguments.index("--tree") + 1]).name
        calls.append((command, name))
        if command == "ingest":
            ingest(IngestConfig((arguments[0],), Path(arguments[2]), str(tiny_model_dir), "cpu"))
        return ProgramRun({}, 1.0, 2.0 if name == "kept" else 1.0)

    calls = []
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
    monkeypatch.setattr(speed_reingest, "time_mctool", time_mctool)
    config = SpeedConfig((), (data,), model=str(tiny_model_dir), reingests=2)
    rows = {(row.measure, row.system): row for row in evaluate_speed(config).rows}
    assert calls[:2] == [("ingest", "kept"), ("ingest", "fresh")]
    assert [call for call in calls if call[0] == "ask"] == [("ask", "kept"), ("ask", "fresh")] * speed_reingest.ROUNDS
    assert calls[-2:] == [("ingest", "kept"), ("ingest", "fresh")]
    kept = "after 2 ingests"
    assert rows["reingest, most segments", kept].value == 3
    assert rows["reingest, segments", "new tree"].value == 1
    assert rows["reingest, segments", kept].ratio == 3
    for measure in ("ask", "inspect", "ingest of one edit", "size"):
        assert rows[f"reingest, {measure}", kept].baseline == "new tree"
    assert rows["reingest, inspect, processor time", kept].ratio == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"parts": ("cook",)}, {"parts": ()}, {"ingest_chars": 0}, {"tree_sizes": (0,)}, {"question": " "},
        {"reingests": -1}, {"scale": (100, 0)}, {"keep": Path("trees")},
    ],
)  # fmt: skip
def test_nonsense_is_refused(fields):
    with pytest.raises(UsageError):
        SpeedConfig(**fields)
