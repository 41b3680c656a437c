import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.errors import SourceError
from mctool.sources.corpus import Question, Sample, SampleDocument, pack, read_records, read_sample, read_sets


def encode(text):
    """One token for each character."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32), np.arange(len(text))


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


PACKAGE = "# ==== file: a.py ====\nx = 1\n# ==== file: b/c.py ====\ndef f():\n    return 2\n"


def test_a_package_is_split_into_its_files(tmp_path):
    start = PACKAGE.index("return 2")
    question = {"q": "What is f?", "answer": "f", "start": start, "end": start + 8, "def_start": start - 10}
    sample = read_sample({"id": "p", "text": PACKAGE, "questions": [question]}, tmp_path)
    assert [(d.path, d.text) for d in sample.documents] == [
        ("p/a.py", "x = 1\n"),
        ("p/b/c.py", "def f():\n    return 2\n"),
    ]
    (asked,) = sample.questions
    assert (asked.document, asked.any_block) == (1, True)
    assert sample.documents[1].text[asked.start : asked.end] == "return 2"


def test_plain_text_is_one_document(tmp_path):
    question = {"q": "Who?", "answer": "cat", "start": 4, "end": 7}
    sample = read_sample({"id": "t", "text": "The cat.", "questions": [question]}, tmp_path)
    assert sample.documents == [SampleDocument("t", "The cat.")]
    assert sample.questions == [Question("Who?", 0, 4, 7, any_block=False, answer="cat")]


def test_a_question_without_a_quote_has_the_place_of_its_evidence(tmp_path):
    question = {"q": "Why?", "answer": "It did.", "start": -1, "end": -1, "ev_start": 4, "ev_end": 8, "alt": ["so"]}
    sample = read_sample({"id": "t", "text": "The cat.", "questions": [question], "unanswerable": ["Ow?"]}, tmp_path)
    assert sample.questions == [Question("Why?", 0, 4, 8, False, "It did.", ("so",), quoted=False)]
    assert sample.unanswerable == ("Ow?",)


def test_questions_without_a_place_are_left_out(tmp_path):
    question = {"q": "Why?", "answer": "", "start": -1, "end": -1}
    assert not read_sample({"id": "t", "text": "The cat.", "questions": [question]}, tmp_path).questions


@pytest.mark.parametrize(("start", "end"), [(4, 99), (6, 6), (0, 25)])
def test_an_answer_outside_one_document_is_refused(tmp_path, start, end):
    question = {"q": "Who?", "answer": "", "start": start, "end": end}
    with pytest.raises(SourceError, match="lies in no document"):
        read_sample({"id": "p", "text": PACKAGE, "questions": [question]}, tmp_path)


def test_sets_are_named_by_dataset_or_file(tmp_path):
    path = write(tmp_path / "mixed.jsonl", {"id": 1, "text": "a"}, {"id": 2, "text": "b", "dataset": "D"})
    sets = read_sets([path])
    assert {name: [sample.id for sample in samples] for name, samples in sets.items()} == {"mixed": ["1"], "D": ["2"]}


def test_compressed_records(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(zstandard.compress('{"id": "é", "text": "ü"}\n'.encode()))
    assert list(read_records(path)) == [{"id": "é", "text": "ü"}]
    path.write_bytes(b"not compressed")
    with pytest.raises(SourceError, match="not compressed with zstd"):
        list(read_records(path))


@pytest.mark.parametrize(("content", "told"), [('{"text": "a"}\n{"text": 1}\n', "line 2"), ("no json\n", "line 1")])
def test_a_broken_line_is_named(tmp_path, content, told):
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(SourceError, match=told):
        list(read_records(path))
    with pytest.raises(SourceError, match="No such file"):
        list(read_records(tmp_path / "missing.jsonl"))


def samples_of(lengths):
    return [
        Sample(
            f"s{number}",
            [SampleDocument(f"s{number}/{place}", chr(97 + place) * length) for place, length in enumerate(documents)],
            [Question(f"{number}.{place}", place, 0, 1, any_block=False) for place in range(len(documents))],
        )
        for number, documents in enumerate(lengths)
    ]


@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), max_size=8), st.integers(1, 80), st.integers(0, 9)
)
def test_packs_hold_whole_documents_up_to_their_size(lengths, tree_tokens, seed):
    samples = samples_of(lengths)
    packs = list(pack(samples, encode, tree_tokens, seed))
    placed = [document.path for one in packs for document in one.documents]
    assert len(placed) == len(set(placed))
    texts = {document.path: document.text for sample in samples for document in sample.documents}
    for one in packs:
        assert one.n_tokens <= tree_tokens or len(one.documents) == 1
        assert [document.text for document in one.documents] == [texts[document.path] for document in one.documents]
        for question in one.questions:
            number, place = question.text.split(".")
            assert one.documents[question.document].path == f"s{number}/{place}"
    left = set(texts) - set(placed)
    assert sum(len(texts[path]) for path in left) < tree_tokens * 3 / 4 or not packs


def test_the_order_of_packs_hangs_on_the_seed():
    samples = samples_of([[10]] * 20)
    first, again, other = (
        [document.path for one in pack(samples, encode, 30, seed) for document in one.documents] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_small_rest_is_given_only_when_alone():
    assert [one.n_tokens for one in pack(samples_of([[10]]), encode, 100, 0)] == [10]
    assert [one.n_tokens for one in pack(samples_of([[60], [60], [50]]), encode, 100, 0)][:2]
    assert len(list(pack(samples_of([[70], [70], [70]]), encode, 100, 0))) == 2
    assert len(list(pack(samples_of([[80], [80], [80]]), encode, 100, 0))) == 3
