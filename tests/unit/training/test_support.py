import numpy as np
import pytest

from mctool.core.errors import UsageError
from mctool.core.evidence import Evidence
from mctool.training.support import Judgement, fit_support


def judgements(n=200, seed=0):
    """Neither the reader nor the lens alone tells the questions apart as well as both do."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(n):
        answerable = place % 2 == 0
        sign = 1 if answerable else -1
        evidence = Evidence(float(np.clip(0.5 + 0.2 * sign + 0.2 * rng.normal(), 0, 1)), 0.4 + 0.1 * sign)
        made.append(Judgement(-sign + 1.5 * rng.normal(), evidence, answerable))
    return made


def test_most_is_refused_and_few_others():
    fitted = fit_support(judgements(), 0.05)
    assert fitted.false_refused == pytest.approx(0.05)
    assert fitted.refused > 0.9
    assert fitted.rule.silence < 0 < fitted.rule.share
    refused = [fitted.rule.odds(one.silence, one.evidence) < 0 for one in judgements() if not one.answerable]
    assert np.mean(refused) == pytest.approx(fitted.refused)


def test_with_more_refused_wrongly_more_is_refused():
    none = Evidence(0.5, 0.5)
    alike = [Judgement(one.silence, none, one.answerable) for one in judgements()]
    strict, lenient = fit_support(alike, 0.3), fit_support(alike, 0.05)
    assert strict.false_refused > lenient.false_refused
    assert strict.refused > lenient.refused


def test_too_few_questions_are_refused():
    with pytest.raises(UsageError, match="too few"):
        fit_support(judgements(30), 0.1)
