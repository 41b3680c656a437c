"""Options that make no sense are refused."""

import pytest

from mctool.core.errors import UsageError
from mctool.sources import SourceOptions


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_size_limit_must_be_positive(size):
    with pytest.raises(UsageError, match="--max-file-mb"):
        SourceOptions(max_file_mb=size)


@pytest.mark.parametrize("pattern", ["", "  ", "# all", "[z-a]", "/"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_patterns_that_match_nothing_are_refused(option, pattern):
    with pytest.raises(UsageError, match=f"--{option}"):
        SourceOptions(**{option: ("*.py", pattern)})


def test_include_cannot_take_away():
    with pytest.raises(UsageError, match=r"use --exclude '\*\.md'"):
        SourceOptions(include=("!*.md",))
    assert SourceOptions(exclude=("*.md", "!a.md")).exclude == ("*.md", "!a.md")


def test_limit_is_in_millions_of_bytes():
    assert SourceOptions(max_file_mb=1.5).max_bytes == 1_500_000
