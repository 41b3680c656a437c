import json

import pytest

from mctool.core.errors import MismatchError


@pytest.mark.parametrize(
    ("field", "other"), [("model", "n"), ("tokenizer", "u"), ("vocab_size", 9), ("d_model", 5), ("gistnet", None)]
)
def test_a_difference_is_named_with_both_values_and_a_fix(make_fingerprint, field, other):
    mine = make_fingerprint()
    with pytest.raises(MismatchError) as caught:
        mine.require(make_fingerprint(**{field: other}))
    assert field in caught.value.message
    assert repr(other) in caught.value.message
    assert repr(getattr(mine, field)) in caught.value.message
    assert "new tree" in caught.value.fix


def test_it_survives_json(make_fingerprint):
    mine = make_fingerprint(gistnet=None)
    mine.require(type(mine).from_json(json.loads(json.dumps(mine.to_json()))))


def test_nonsense_is_refused(make_fingerprint):
    with pytest.raises(ValueError, match="vocab_size 0"):
        make_fingerprint(vocab_size=0)
