"""The sample that ``ingest --dry-run`` goes by."""

import gzip
import re

import pytest
from document_makers import make_pdf
from hypothesis import given
from hypothesis import strategies as st

from mctool.app import sampling
from mctool.app.sampling import SampledFile, estimate_tokens, parts_by_length, take_sample
from mctool.app.scan import RecordedPaths, scan_sources
from mctool.sources import SourceOptions

OPTIONS = SourceOptions()


class WordTokenizer:
    """A token a word."""

    @staticmethod
    def encode_with_offsets(text):
        starts = [match.start() for match in re.finditer(r"\S+", text)]
        return starts, starts


@pytest.fixture
def folder(tmp_path):
    """A few large files of many tokens, many small ones of hardly any, and documents that are mostly not text."""
    for number in range(4):
        (tmp_path / f"a{number}.txt").write_text("a b c d\n" * 20_000)
    for number in range(40):
        (tmp_path / f"z{number}.csv").write_text("7234567,8234567\n" * (50 + number))
    for number in range(6):
        lines = [["one two three four"] * (number + 1)] * (4 * number + 1)
        (tmp_path / f"b{number}.pdf").write_bytes(make_pdf(lines))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"word " * 5_000))
    return tmp_path


def files_in(place):
    scan = scan_sources([str(place)], OPTIONS, RecordedPaths(place / ".mctool"))
    return list(scan.files.values())


def words_of(sample):
    return sum(len(sampled.text.split()) for sampled in sample)


def test_a_folder_that_is_soon_read_is_read_whole(folder):
    files = files_in(folder)
    sample = take_sample(files, OPTIONS)
    assert len(sample) == len(files) == 51
    assert estimate_tokens(files, sample, WordTokenizer) == pytest.approx(words_of(sample), rel=0.02)


def test_each_kind_is_estimated_by_its_own(folder, monkeypatch):
    files = files_in(folder)
    words = words_of(take_sample(files, OPTIONS))
    monkeypatch.setattr(sampling, "_MOST_BYTES", 220_000)  # of 700,000
    sample = take_sample(files, OPTIONS)
    assert len(sample) < 30
    assert {sampled.kind for sampled in sample} == {".txt", ".csv", ".pdf", ".gz"}
    assert estimate_tokens(files, sample, WordTokenizer) == pytest.approx(words, rel=0.1)


def test_time_ends_it(folder, monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_SECONDS", 0.0)
    files = files_in(folder)
    sample = take_sample(files, OPTIONS)
    assert len(sample) == 1
    assert estimate_tokens(files, sample, WordTokenizer) > 0


def test_without_a_tokenizer_bytes_tell(folder):
    files = files_in(folder)
    n_bytes = sum(found.file.size for found in files)
    assert estimate_tokens(files, [], None) == estimate_tokens(files, [], WordTokenizer) == round(n_bytes / 3.6)
    assert estimate_tokens([], [], WordTokenizer) == 0


@given(st.lists(st.text("ab \n", max_size=60)), st.integers(1, 8), st.integers(8, 90))
def test_parts_are_of_the_texts_and_within_bounds(texts, n_parts, n_chars):
    sample = [SampledFile(f".{number}", 9, text) for number, text in enumerate(texts)]
    parts = parts_by_length(sample, n_parts, n_chars)
    assert len(parts) <= n_parts
    assert sum(len(text) for _, text in parts) <= n_chars
    assert all(text in texts[int(kind[1:])] for kind, text in parts)
    assert bool(parts) == any(text.strip() for text in texts)
    assert len({kind for kind, _ in parts}) == len(parts)


def test_long_texts_give_most_parts():
    sample = [SampledFile(".a", 1, "x" * 10)] * 30 + [SampledFile(".b", 1, "y" * 1_000)] * 3
    parts = parts_by_length(sample, 24, 2_400)
    assert sum(kind == ".b" for kind, _ in parts) == 3
    assert len(parts) <= 6
