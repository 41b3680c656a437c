import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny_keys import write_tiny_key_encoder

from mctool.app.train_lens import LensNetRun, compare_lens_nets, train_lens_net
from mctool.core.errors import MismatchError, UsageError
from mctool.focus.entry_features import NAMES
from mctool.nets.key_weights import load_key_encoder
from mctool.nets.lens_weights import load_lens_net
from mctool.sources.corpus import in_scorer_split, read_sets
from mctool.training.lens_loop import LensTraining, listwise, measure
from mctool.training.lens_loop import train_lens_net as fit
from mctool.training.lens_rows import LensRow, read_lens_rows, recall, write_lens_rows


def rows(n=60, any_block=False, seed=0):
    """Questions whose answer is the candidate with the largest second feature, of which the mix knows nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        features = rng.random((int(rng.integers(5, 12)), len(NAMES))).astype(np.float16)
        answer = features[:, 1] == features[:, 1].max()
        made.append(LensRow("set", any_block, int(answer.sum()), features, answer, np.full(len(answer), 32)))
    return made


def test_the_net_learns_what_the_mix_does_not_know():
    net = fit(LensTraining(steps=150, batch=8), rows(200))
    figures = measure(net, rows(60, seed=1))
    assert figures["recall@128 LensNet (set)"] > 0.9 > 0.7 > figures["recall@128 fixed mix (set)"]


def test_the_same_seed_gives_the_same_net():
    first, again, other = (
        fit(LensTraining(steps=3, batch=4, seed=seed), rows()).state_dict()["leave.weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_loss_is_that_of_picking_an_answer_first():
    row = rows(1)[0]
    row = dataclasses.replace(row, answer=np.arange(len(row.answer)) < 2)
    scores = torch.randn(1, len(row.answer))
    odds = scores[0].softmax(0)
    either = listwise([dataclasses.replace(row, any_block=True)], scores)
    torch.testing.assert_close(either, -odds[:2].sum().log())
    rest = scores[0, 2:].exp().sum()
    both = listwise([row], scores)
    torch.testing.assert_close(both, -torch.stack([(s.exp() / (s.exp() + rest)).log() for s in scores[0, :2]]).mean())


def test_recall_asks_for_all_of_an_answer_or_for_any():
    row = LensRow("s", False, 2, np.zeros((3, len(NAMES)), np.float16), np.array([True, False, True]), np.full(3, 32))
    scores = [np.array([3.0, 2.0, 1.0])]
    assert recall([row], scores, 64) == {"s": 0.0}
    assert recall([row], scores, 96) == {"s": 1.0}
    assert recall([dataclasses.replace(row, any_block=True)], scores, 32) == {"s": 1.0}


def test_rows_come_back_from_disk(tmp_path):
    written = rows(4)
    write_lens_rows(tmp_path / "rows.npz", written)
    for before, after in zip(written, read_lens_rows(tmp_path / "rows.npz"), strict=True):
        assert (before.set, before.any_block, before.n_answer) == (after.set, after.any_block, after.n_answer)
        for name in ("features", "answer", "tokens"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_without_an_end_or_a_question_there_is_no_run():
    with pytest.raises(UsageError, match="--minutes or --steps"):
        LensTraining()
    with pytest.raises(UsageError, match="nothing to train on"):
        fit(LensTraining(steps=1), [])


@pytest.fixture
def facts(tmp_path):
    """A data file with 144 located questions of 24 records."""
    words = ["harbour", "storm", "letter", "lighthouse", "dagger", "room", "ship", "skipper"]
    data = tmp_path / "facts.jsonl"
    with data.open("w") as file:
        for number in range(24):
            text, questions = "", []
            for fact in range(6):
                text += f"{' '.join(words[(number + fact + k) % 8] for k in range(30))}. The zeta{number}x{fact} is "
                place = {"answer": f"blue{fact}", "start": len(text), "end": len(text) + 5}
                questions.append({"q": f"What is zeta{number}x{fact}?", **place})
                text += f"blue{fact}. "
            file.write(json.dumps({"id": f"r{number}", "text": text, "questions": questions}) + "\n")
    return data


def test_a_run_from_data_to_weights(tmp_path, monkeypatch, tiny_model_dir, facts):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path / "nets"))
    (tmp_path / "nets").mkdir()
    run = LensNetRun((facts,), tmp_path / "out", LensTraining(steps=4), 20, 5, str(tiny_model_dir), "cpu")
    with pytest.raises(MismatchError, match="no key encoder"):
        train_lens_net(run, lambda _line: None)
    folder = write_tiny_key_encoder(tmp_path / "nets")
    told = []
    result = train_lens_net(run, told.append)
    scorer = load_lens_net(result.encoder, NAMES, load_key_encoder(folder).fingerprint)
    kept = [sample for samples in read_sets([facts]).values() for sample in samples if in_scorer_split(sample)]
    assert scorer.card.trained_questions == sum(len(sample.questions) for sample in kept) == 12
    assert [line.get("step") for line in told] == [1, 2, 3, 4, None]
    assert set(result.figures) == set(told[-1]["dev"])
    again = train_lens_net(run, lambda _line: None)  # the rows that are there
    assert again.figures == result.figures
    (tmp_path / "out" / "lens-rows.npz").write_bytes(b"none")
    with pytest.raises(MismatchError, match="remove it"):
        train_lens_net(run, lambda _line: None)


def test_a_run_with_labels_tells_gains_and_nets_that_lack_a_part_are_compared(
    tmp_path, monkeypatch, tiny_model_dir, facts
):
    (tmp_path / "nets").mkdir()
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path / "nets"))
    folder = write_tiny_key_encoder(tmp_path / "nets")
    out = tmp_path / "out"
    run = LensNetRun((facts,), out, LensTraining(steps=4), 20, 5, str(tiny_model_dir), "cpu", labels=70)
    told = []
    result = train_lens_net(run, told.append)
    assert told[0]["labels"]["labels"] == 70
    assert {"loss", "rank", "regress", "budget"} <= set(told[-2])
    assert {"spearman prose", "negative told"} <= set(result.figures)
    assert load_lens_net(result.encoder, NAMES, load_key_encoder(folder).fingerprint).card.config.tells_gain
    assert not list(out.glob("*.parts"))
    rows = compare_lens_nets(run, 2, told.append)
    assert [row.seeds for row in rows] == [1, 1, 1, 2, 2, 2, 2]
    whole, spans = rows[-1].figures, rows[-2].figures
    assert set(whole) - set(spans) >= {"negative told", "positive told", "shown prose by gain"}
    assert all(0 <= row.figures["recall@128 prose"] <= 1 for row in rows)
    (out / "lens-labels.npz").write_bytes(b"none")
    with pytest.raises(MismatchError, match=r"lens-labels\.npz cannot be used"):
        train_lens_net(run, told.append)
    with pytest.raises(UsageError, match="give --labels"):
        compare_lens_nets(dataclasses.replace(run, labels=0), 1, told.append)
