import json

import pytest
from tiny_adapter import write_tiny_adapter

from mctool.app.train_support import SupportRun, train_support
from mctool.core.errors import SourceError, UsageError
from mctool.core.evidence import Evidence
from mctool.nets.adapter_card import read_adapter


@pytest.fixture
def adapter(tmp_path, tiny_model_dir):
    return write_tiny_adapter(tmp_path / "nets", tiny_model_dir)


def write(path, n=60, **changes):
    with path.open("w") as file:
        for place in range(n):
            answerable = place % 2 == 0
            detail = {
                "system": "ask", "kind": "answerable" if answerable else "foreign", "reading": "short",
                "silence": -1.0 - place / 100 if answerable else 1.0 + place / 100, "share": 0.5, "similarity": 0.4,
            }  # fmt: skip
            file.write(json.dumps(detail | changes) + "\n")
    return path


def test_the_card_gets_a_rule_for_each_kind_of_prose(tmp_path, adapter):
    assert read_adapter(adapter).card.support == {}
    rules = train_support(SupportRun((write(tmp_path / "details.jsonl"),), adapter, 0.0))
    assert set(rules) == {"prose"}
    assert rules["prose"].false_refused == 0
    card = read_adapter(adapter).card
    assert set(card.support) == {"short", "long"}
    evidence = Evidence(0.5, 0.4)
    assert card.support_odds(-2.0, "short", evidence) > 0 > card.support_odds(2.0, "long", evidence)
    assert card.support_odds(-2.0, "short") == card.silence["short"] + 2  # no lens has chosen the text


@pytest.mark.parametrize("changes", [{"system": "oracle"}, {"kind": "adversarial"}, {"share": None}])
def test_what_tells_nothing_is_left_out(tmp_path, adapter, changes):
    with pytest.raises(UsageError, match="no answers of ask"):
        train_support(SupportRun((write(tmp_path / "details.jsonl", **changes),), adapter, 0.0))


def test_files_that_hold_something_else_are_refused(tmp_path, adapter):
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "a"}\n')
    for path in (other, tmp_path / "missing.jsonl"):
        with pytest.raises(SourceError):
            train_support(SupportRun((path,), adapter, 0.0))
    with pytest.raises(UsageError, match="--false-refusals"):
        SupportRun((other,), adapter, 1.0)
