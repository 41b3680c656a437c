"""Which documents an ingest reads, leaves and retires."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.app.scan import RecordedPaths, Scan, SourceDirectory, compare, scan_sources
from mctool.core.errors import UsageError
from mctool.sources import SourceOptions
from mctool.tree import Document


def document(path, size=1, mtime_ns=1):
    return Document(1, path, "0" * 64, size, mtime_ns, "utf-8", 0, 1, 1, 1, 1)


@pytest.fixture
def place(tmp_path):
    """A directory that holds a tree and a file."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.txt").write_text("text")
    return tmp_path


@pytest.fixture
def paths(place):
    return RecordedPaths(place / ".mctool")


def scan(place, paths, *sources, **options):
    return scan_sources([str(place / source) for source in sources], SourceOptions(**options), paths)


class TestRecordedPaths:
    """Paths relative to the directory that holds the tree."""

    def test_inside_outside_and_through_links(self, place, paths, tmp_path_factory):
        outside = tmp_path_factory.mktemp("outside")
        (outside / "link").symlink_to(place)
        assert paths.record(place / "src" / "a.txt") == "src/a.txt"
        assert paths.record(outside / "b.txt") == str(outside / "b.txt")
        assert paths.record(outside / "link" / "src" / "a.txt") == "src/a.txt"
        assert RecordedPaths(outside / "link" / ".mctool").record(place / "src" / "a.txt") == "src/a.txt"

    def test_a_link_within_keeps_its_name(self, place, paths, tmp_path_factory):
        outside = tmp_path_factory.mktemp("outside")
        (outside / "b.txt").write_text("text")
        (place / "data").symlink_to(outside)
        assert list(scan(place, paths, "data").files) == ["data/b.txt"]
        assert not compare(scan(place, paths, "data"), [document("data/b.txt", 4)], paths).gone

    @given(st.lists(st.text("ab.", min_size=1).filter(lambda name: name.strip(".")), min_size=1, max_size=4))
    def test_a_recorded_path_leads_back(self, parts):
        paths = RecordedPaths(Path("/base/.mctool"))
        for root in ("/base", "/else"):
            path = Path(root).joinpath(*parts)
            assert str(path) in paths.places(paths.record(path))


class TestSourceDirectory:
    """Which documents lie below a directory."""

    @pytest.mark.parametrize(
        ("root", "path", "holds"),
        [
            ("/base/src", "src/a", True),
            ("/base/src", "srca", False),
            ("/base/src", "src", False),
            ("/base", "a", True),
            ("/base", "/else/a", False),
            ("/", "a", True),
            ("/", "/else/a", True),
            ("/else", "/else/a", True),
            ("/else", "/elsewhere/a", False),
            ("/else", "else/a", False),
        ],
    )
    def test_holds(self, root, path, holds):
        paths = RecordedPaths(Path("/base/.mctool"))
        assert SourceDirectory.at("x", Path(root)).holds(document(path), paths) is holds

    def test_a_stream_comes_from_no_directory(self):
        paths = RecordedPaths(Path("/base/.mctool"))
        assert not SourceDirectory.at("x", Path("/base")).holds(document("stdin", mtime_ns=0), paths)


class TestScan:
    """From sources to files."""

    def test_files_are_shown_as_given(self, place, paths, monkeypatch):
        monkeypatch.chdir(place)
        (only,) = scan_sources(["src"], SourceOptions(), paths).files.values()
        assert (only.path, only.shown) == ("src/a.txt", "src/a.txt")
        (only,) = scan_sources([str(place / "src")], SourceOptions(), paths).files.values()
        assert only.shown == str(place / "src" / "a.txt")

    def test_a_file_counts_as_named_when_any_source_is_the_file(self, place, paths):
        for sources in (["src", "src/a.txt"], ["src/a.txt", "src"]):
            (only,) = scan(place, paths, *sources).files.values()
            assert only.file.named

    def test_what_is_in_the_tree_is_left_out(self, place):
        paths = RecordedPaths(place / "src" / "index")
        (place / "src" / "index").mkdir()
        (place / "src" / "index" / "zarr.json").write_text("{}")
        (place / "src" / "index" / "x.png").write_text("x")
        found = scan(place, paths, "src")
        assert list(found.files) == ["a.txt"]
        assert found.skipped == []

    def test_a_missing_source_is_a_failure_beside_the_others(self, place, paths):
        found = scan(place, paths, "src", "gone")
        assert list(found.files) == ["src/a.txt"]
        assert [failure.exit_code for failure in found.failures] == [6]

    def test_no_source(self, paths):
        with pytest.raises(UsageError, match="no source"):
            scan_sources([], SourceOptions(), paths)


class TestCompare:
    """Files against documents."""

    def test_size_and_time_decide_what_is_read(self, place, paths):
        status = (place / "src" / "a.txt").stat()
        same = document("src/a.txt", status.st_size, status.st_mtime_ns)
        files = scan(place, paths, "src")
        assert (compare(files, [same], paths).to_read, compare(files, [same], paths).unchanged) == ([], 1)
        for other in (document("src/a.txt", 99, status.st_mtime_ns), document("src/a.txt", status.st_size, 99)):
            assert [file.path for file in compare(files, [other], paths).to_read] == ["src/a.txt"]

    def gone(self, files, paths, *documents):
        return [document.path for document in compare(files, documents, paths).gone]

    def test_gone_are_documents_below_a_source_without_a_file(self, place, paths):
        documents = [document("src/b.txt"), document("srcs/b.txt"), document("stdin", mtime_ns=0)]
        assert self.gone(scan(place, paths, "src"), paths, *documents) == ["src/b.txt"]
        assert self.gone(scan(place, paths, "src/a.txt"), paths, *documents) == []

    def test_skipped_by_a_rule_is_gone_but_not_what_cannot_be_read(self, place, paths):
        documents = [document("src/vendor/b.txt"), document("src/locked/b.txt"), document("src/c.txt")]
        files = Scan(directories=[SourceDirectory.at("src", place / "src")])
        files.skipped_paths.update({"src/vendor": "vendored code", "src/locked": "cannot be read: Permission denied"})
        assert self.gone(files, paths, *documents) == ["src/vendor/b.txt", "src/c.txt"]

    def test_filters_alone_take_nothing_away(self, place, paths):
        documents = [document("src/a.txt"), document("src/b.txt")]
        assert self.gone(scan(place, paths, "src", include=("*.md",)), paths, *documents) == ["src/b.txt"]


def test_a_pipe_that_is_named_is_refused_with_what_to_do(place, paths):
    os.mkfifo(place / "pipe")
    (failure,) = scan(place, paths, "pipe").failures
    assert str(failure).endswith(
        "pipe cannot be ingested: not a regular file; name - as the source, and let it be standard input"
    )
