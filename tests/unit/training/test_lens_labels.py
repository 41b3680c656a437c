import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_keys import write_tiny_key_encoder

import mctool.training.lens_labels as module
from mctool.nets.base_model import BaseModel
from mctool.nets.key_weights import load_key_encoder
from mctool.sources.corpus import read_sample
from mctool.training.lens_labels import (
    ENTRIES,
    FEWEST,
    MOST,
    Labelling,
    draw_entries,
    draw_window,
    gains,
    labelled_rows,
)
from mctool.training.lens_rows import read_lens_rows, write_lens_rows

WORDS = ["harbour", "storm", "letter", "lighthouse", "dagger", "room", "ship", "skipper"]


@pytest.fixture
def samples():
    made = []
    for number in range(3):
        text, questions = "", []
        for fact in range(6):
            text += f"{' '.join(WORDS[(number + fact + k) % 8] for k in range(40))}. The zeta{number}x{fact} is "
            answer = f"blue{fact}"
            questions.append({"q": f"What is zeta{number}x{fact}?", "answer": answer, "start": len(text),
                              "end": len(text) + len(answer)})  # fmt: skip
            text += f"{answer}. "
        made.append(read_sample({"id": f"r{number}", "text": text, "questions": questions}, "facts.jsonl"))
    return made


@pytest.fixture
def labelling(tiny_files, tiny_tokenizer, tmp_path):
    root = tmp_path / "nets"
    root.mkdir()
    encoder = load_key_encoder(write_tiny_key_encoder(root), "cpu")
    model = BaseModel.load(tiny_files, "cpu", "float32")
    return Labelling(model, tiny_tokenizer, tiny_files.name, encoder, lambda features: features[:, 0].astype(float), 64)


def test_a_block_of_the_window_is_taken_out_and_another_put_in():
    worth = {3: 5.0, 4: -2.0, 9: 1.5}
    asked = []

    def nll(ranks):
        asked.append(ranks.tolist())
        return 20.0 - sum(worth[rank] for rank in ranks.tolist())

    found = gains(nll, np.array([3, 4]), np.array([3, 4, 9]))
    assert found.tolist() == [5.0, -2.0, 1.5]  # what distracts is negative
    assert asked == [[3, 4], [4], [3], [3, 4, 9]]


@given(st.integers(1, 40), st.integers(0, 1000))
def test_entries_hold_an_answer_where_a_candidate_does_and_windows_are_small(n, seed):
    rng = np.random.default_rng(seed)
    scores, answer = rng.normal(size=n) * 5, rng.random(n) < 0.1
    entries = draw_entries(scores, answer, rng)
    assert len(entries) == min(n, ENTRIES)
    assert (np.diff(entries) > 0).all()
    assert answer[entries].any() == answer.any()
    shown = draw_window(scores, entries, rng)
    assert min(FEWEST, n) <= len(shown) <= MOST
    assert (np.diff(shown) > 0).all()
    assert shown[-1] < n


def test_better_candidates_are_drawn_more_often():
    scores = np.where(np.arange(100) < 10, 6.0, 0.0)
    drawn = np.concatenate(
        [draw_entries(scores, np.zeros(100, np.bool_), np.random.default_rng(seed)) for seed in range(50)]
    )
    assert 0.5 < (drawn < 10).mean() < 0.95


def test_gains_are_what_the_reader_says(samples, labelling, tmp_path, monkeypatch):
    seen = []

    def nll(model, embeddings, positions, target_ids):
        assert len(embeddings) == len(positions)
        assert (np.diff(positions) > 0).all()
        seen.append((len(embeddings), labelling.tokenizer.decode(target_ids.tolist())))
        return np.full(len(target_ids), len(embeddings), np.float64)  # a reader that every token distracts

    monkeypatch.setattr(module, "continuation_nll", nll)
    rows = labelled_rows("facts", samples, labelling, 4, 0, tmp_path)
    assert len(rows) == 4
    known = [row.gain[~np.isnan(row.gain)] for row in rows]
    assert all((gain < 0).all() for gain in known)
    assert {answer for _, answer in seen} <= {f" blue{fact}" for fact in range(6)}
    assert len(seen) == sum(len(gain) + 1 for gain in known)


def test_rows_of_a_real_reader_come_back_and_the_parts_of_a_run_are_not_made_again(
    samples, labelling, tmp_path, monkeypatch
):
    rows = labelled_rows("facts", samples, labelling, 3, 0, tmp_path)
    for row in rows:
        measured = ~np.isnan(row.gain)
        assert measured.sum() == min(ENTRIES, len(row.answer))
        assert row.answer[measured].any() == row.answer.any()
    assert any((row.gain > 0).any() for row in rows)
    assert any((row.gain < 0).any() for row in rows)

    def never(*_arguments):
        raise AssertionError("a part is made again")

    monkeypatch.setattr(module, "_tree_rows", never)
    again = labelled_rows("facts", samples, labelling, 3, 0, tmp_path)
    np.testing.assert_array_equal(again[0].gain, rows[0].gain)
    with pytest.raises(AssertionError, match="made again"):
        labelled_rows("other facts", samples, labelling, 3, 0, tmp_path)


def test_rows_with_and_without_gains_come_back_from_disk(samples, labelling, tmp_path):
    first, second = labelled_rows("facts", samples, labelling, 2, 0, tmp_path)
    write_lens_rows(tmp_path / "rows.npz", [first, dataclasses.replace(second, gain=None)])
    before, after = read_lens_rows(tmp_path / "rows.npz")
    np.testing.assert_array_equal(before.gain, first.gain)
    assert np.isnan(after.gain).all()
    write_lens_rows(tmp_path / "rows.npz", [dataclasses.replace(first, gain=None)])
    assert read_lens_rows(tmp_path / "rows.npz")[0].gain is None
