import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mctool.focus.entry_features import NAMES
from mctool.training.lens_gain import MARGIN, WINDOW_BLOCKS, gain_losses, rank_correlation, signs_told
from mctool.training.lens_loop import LensTraining, judged
from mctool.training.lens_loop import train_lens_net as fit
from mctool.training.lens_rows import LensRow

NAN = float("nan")


def row(*gain, features=None):
    n = len(gain)
    return LensRow(
        "set", False, 1, np.zeros((n, len(NAMES)), np.float16) if features is None else features,
        np.arange(n) == 0, np.full(n, 32), np.array(gain, np.float32),
    )  # fmt: skip


def labelled_rows(n=80, seed=0):
    """Questions whose candidates are worth 4 nats times their third feature, less 2; half of them are measured.

    The best holds the answer.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        features = rng.random((10, len(NAMES))).astype(np.float16)
        gain = (4 * features[:, 2] - 2).astype(np.float32)
        gain[::2] = NAN
        made.append(dataclasses.replace(row(*gain, features=features), answer=features[:, 2] == features[:, 2].max()))
    return made


def test_the_order_costs_what_a_logistic_of_each_pair_costs_and_small_differences_nothing():
    one = row(3.0, 1.0, 1.0 + MARGIN / 2, NAN)
    scores = torch.tensor([[0.5, 2.0, -1.0, 9.0]])
    losses = gain_losses([one], scores, torch.zeros(1, 4))
    pairs = torch.tensor([0.5 - 2.0, 0.5 + 1.0])  # the first before the second, and before the third
    torch.testing.assert_close(losses["rank"], torch.log1p(torch.exp(-pairs)).mean())


def test_told_gains_cost_their_distance_where_gains_were_measured():
    losses = gain_losses([row(3.0, NAN, -1.0)], torch.zeros(1, 3), torch.tensor([[2.5, 77.0, 2.0]]))
    torch.testing.assert_close(losses["regress"], torch.tensor((0.5 * 0.5**2 + (3 - 0.5)) / 2))  # Huber at 1 nat


def test_as_many_entries_worth_something_as_a_window_holds_cost_nothing():
    few = torch.full((1, 100), -30.0)
    few[0, : int(WINDOW_BLOCKS)] = 30
    rows = [row(*[NAN] * 100)]
    assert gain_losses(rows, torch.zeros(1, 100), few)["budget"] == pytest.approx(0, abs=1e-6)
    all_of_them = torch.full((1, 100), 30.0)
    expected = np.log(100 / WINDOW_BLOCKS) ** 2
    assert gain_losses(rows, torch.zeros(1, 100), all_of_them)["budget"] == pytest.approx(expected, rel=1e-5)


def test_losses_have_gradients_even_where_nothing_was_measured():
    scores, gains = torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    losses = gain_losses([row(NAN, NAN, NAN)], scores, gains)
    sum(losses.values()).backward()
    assert losses["rank"] == losses["regress"] == 0
    assert gains.grad is not None


def test_a_net_that_tells_no_gains_or_a_row_without_is_refused():
    with pytest.raises(ValueError, match="does not tell"):
        gain_losses([row(1.0)], torch.zeros(1, 1), None)
    with pytest.raises(ValueError, match="no labels"):
        rank_correlation([dataclasses.replace(row(1.0), gain=None)], [np.zeros(1)])


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=8, unique=True))
def test_the_rank_correlation_is_1_for_the_same_order_and_minus_1_for_the_reverse(gain):
    values = np.array(gain, np.float64)
    assert rank_correlation([row(*gain)], [values**3]) == pytest.approx(1)
    assert rank_correlation([row(*gain)], [-values]) == pytest.approx(-1)


def test_the_rank_correlation_gives_equal_values_the_same_rank():
    assert rank_correlation([row(1, 1, 2)], [np.array([0.0, 5.0, 9.0])]) == pytest.approx(0.75**0.5)
    assert np.isnan(rank_correlation([row(1, 1, NAN)], [np.array([0.0, 5.0, 9.0])]))  # nothing to compare


def test_signs_are_told_of_gains_that_are_not_near_0():
    rows = [row(-2.0, -1.0, 0.1, 3.0, NAN)]
    assert signs_told(rows, [np.array([-1.0, 1.0, -1.0, 1.0, -1.0])]) == (0.5, 1.0)


def test_a_net_learns_gains_and_their_order_from_labels():
    rows = labelled_rows(150)
    config = LensTraining(steps=200, batch=4, budget=0.0, regress=1.0)
    net = fit(config, rows, labelled=rows)
    fresh = labelled_rows(40, seed=1)
    found = judged(net, fresh)
    assert rank_correlation(fresh, [score for score, _ in found]) > 0.8
    assert min(signs_told(fresh, [gain for _, gain in found])) > 0.8
    assert judged(fit(config, rows), fresh)[0][1] is None  # without labels, it tells none
