import numpy as np
import pytest
import torch

from mctool.training.rows import Row, Segment, batches, collate, read_rows, text_rows, write_rows

END = 9
ROW = Row([1, 2, 3], [0, 5, 6], 7, [Segment("short", [10, 11], [12]), Segment("silence", [13], [])])
TEXT = Row([4, 5], [0, 1], 2, [Segment("text", [], [6, 7])])


def test_rows_come_back_from_their_file(tmp_path):
    write_rows(tmp_path / "rows.jsonl", [ROW, TEXT])
    assert read_rows(tmp_path / "rows.jsonl") == [ROW, TEXT]


def test_a_segment_sees_the_window_and_itself():
    seen = collate([ROW], END).mask[0, 0]
    assert seen[:3, :3].equal(torch.ones(3, 3).tril().bool())
    assert not seen[:3, 3:].any()
    assert seen[3:6].tolist() == [
        [True, True, True, True, False, False, False],
        [True, True, True, True, True, False, False],
        [True, True, True, True, True, True, False],
    ]
    assert seen[6].tolist() == [True, True, True, False, False, False, True]


def test_positions_go_on_after_the_window_in_every_segment():
    assert collate([ROW], END).positions.tolist() == [[0, 5, 6, 7, 8, 9, 7]]


def test_labels_are_answers_with_an_end_and_text_without():
    batch = collate([ROW, TEXT], END)
    assert list(zip(batch.row.tolist(), batch.slot.tolist(), batch.label.tolist(), strict=True)) == [
        (0, 4, 12), (0, 5, END), (0, 6, END), (1, 1, 6), (1, 2, 7),
    ]  # fmt: skip
    assert batch.weight.tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 1, 0.5**0.5, 0.5**0.5])
    assert batch.kinds == ["short", "silence", "text"]
    assert batch.segment.tolist() == [0, 0, 1, 2, 2]


def test_padding_sees_itself_only():
    batch = collate([ROW, TEXT], END)
    assert batch.mask[1, 0, 4:, :].nonzero().tolist() == [[0, 4], [1, 5], [2, 6]]


def test_batches_hold_every_row_once_and_keep_to_the_budget():
    rng = np.random.default_rng(0)
    rows = [Row([1] * int(n), list(range(n)), int(n), []) for n in rng.integers(1, 60, 700)]
    found = batches(rows, 100, seed=3)
    assert sorted(place for batch in found for place in batch) == list(range(700))
    assert all(len(batch) == 1 or max(rows[i].n_slots for i in batch) * len(batch) <= 100 for batch in found)
    assert found == batches(rows, 100, seed=3)
    assert found != batches(rows, 100, seed=4)


def test_a_row_longer_than_a_batch_is_a_batch():
    assert batches([Row([1] * 50, list(range(50)), 50, [])], 10, 0) == [[0]]


def test_text_rows_predict_how_text_goes_on(tiny_tokenizer):
    text = "The keeper wrote letters before the storm of March took the old pier away. " * 60
    (row,) = text_rows([text], tiny_tokenizer, 1, seed=0)
    (segment,) = row.segments
    assert segment.kind == "text"
    assert tiny_tokenizer.decode(row.ids + segment.target) in text


def test_short_texts_make_no_rows(tiny_tokenizer):
    assert text_rows(["too short"], tiny_tokenizer, 3, seed=0) == []
