import numpy as np
import pytest
import torch

from mctool.core.errors import BudgetTooSmallError
from mctool.engine.nll import continuation_nll, mean_estimate, ratio_estimate


class TenthReader:
    """Gives every target a tenth of its id as NLL."""

    name, trained_positions = "tenth", 20

    def log_likelihood(self, embeddings, positions, target_ids):
        assert len(embeddings) == len(positions)
        return -torch.as_tensor(target_ids) / 10


def test_nll_is_the_negative_log_likelihood_by_token():
    nll = continuation_nll(TenthReader(), torch.zeros(3, 4), np.array([0, 5, 6]), np.array([10, 25]))
    np.testing.assert_allclose(nll, [1.0, 2.5])
    assert nll.dtype == np.float64


def test_a_continuation_beyond_the_trained_positions_is_refused():
    window = torch.zeros(1, 4), np.array([17])
    assert len(continuation_nll(TenthReader(), *window, np.array([1, 2]))) == 2
    with pytest.raises(BudgetTooSmallError, match="need 21 positions and tenth was trained with 20"):
        continuation_nll(TenthReader(), *window, np.array([1, 2, 3]))


def test_the_mean_has_its_standard_error():
    estimate = mean_estimate(np.array([1.0, 2.0, 3.0, 6.0]))
    assert (estimate.value, estimate.n) == (3.0, 4)
    assert estimate.se == pytest.approx(np.sqrt(14 / 3) / 2)
    assert mean_estimate(np.array([2.0])).se is None


def test_a_ratio_is_of_means_and_its_error_shrinks_when_pairs_agree():
    denominator = np.array([1.0, 2.0, 3.0])
    exact = ratio_estimate(denominator / 2, denominator)
    assert exact.value == pytest.approx(0.5)
    assert exact.se == pytest.approx(0.0, abs=1e-12)
    assert ratio_estimate((denominator / 2)[::-1].copy(), denominator).se > 0.1


def test_the_error_of_a_ratio_is_that_of_many_repetitions():
    rng = np.random.default_rng(0)
    denominator = rng.normal(2.0, 0.5, (4000, 50))
    numerator = 0.3 * denominator + rng.normal(0.0, 0.4, denominator.shape)
    estimates = [ratio_estimate(n, d) for n, d in zip(numerator, denominator, strict=True)]
    spread = np.std([e.value for e in estimates])
    assert np.mean([e.se for e in estimates]) == pytest.approx(spread, rel=0.05)


def test_a_ratio_over_nothing_means_nothing():
    assert ratio_estimate(np.zeros(0), np.zeros(0)) is None
    assert ratio_estimate(np.array([1.0, 1.0]), np.array([0.5, -0.5])) is None
