"""Directories outside git, single files, and what a name or a file status says."""

import errno
import os
import socket
from pathlib import Path

import pytest

from mctool.core.errors import SourceError
from mctool.sources import Found, SourceOptions, find_files
from mctool.sources import find as find_module

DEFAULTS = SourceOptions()


def write(root: Path, *names: str, text: str = "some text\n") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def taken(found: Found, root: Path) -> list[str]:
    return [str(file.path.relative_to(root)) for file in found.files]


def reasons(found: Found, root: Path) -> dict[str, str]:
    return {str(Path(skipped.path).relative_to(root)): skipped.reason for skipped in found.skipped}


def test_walk_is_in_path_order(tmp_path):
    write(tmp_path, "b.py", "a/z.py", "a/b/c.py", "a.py", "a-b/x.py")
    assert taken(find_files(tmp_path, DEFAULTS), tmp_path) == ["a/b/c.py", "a/z.py", "a-b/x.py", "a.py", "b.py"]


def test_size_and_time_are_those_of_the_file(tmp_path):
    write(tmp_path, "a.txt", text="12345")
    os.utime(tmp_path / "a.txt", ns=(1, 1_700_000_000_123_456_789))
    [file] = find_files(tmp_path, DEFAULTS).files
    assert (file.size, file.mtime_ns, file.named) == (5, 1_700_000_000_123_456_789, False)


def test_directories_that_nobody_wrote_are_reported_once(tmp_path):
    write(
        tmp_path,
        *("node_modules/x/a.js", "node_modules/y/b.js", "lib/site-packages/z.py", "pkg/__pycache__/m.txt"),
        *("third_party/a.c", "src/_vendor/b.py", "env/pyvenv.cfg", "env/lib/c.py", ".tox/d.py", "src/main.py"),
    )
    found = find_files(tmp_path, DEFAULTS)
    assert taken(found, tmp_path) == ["src/main.py"]
    assert reasons(found, tmp_path) == {
        ".tox": "cache of a tool",
        "env": "virtual environment",
        "lib/site-packages": "installed packages",
        "node_modules": "installed packages",
        "pkg/__pycache__": "cache of a tool",
        "src/_vendor": "vendored code",
        "third_party": "vendored code",
    }


def test_vendored_directory_is_taken_when_it_is_the_source(tmp_path):
    write(tmp_path, "vendor/a.c")
    assert taken(find_files(tmp_path / "vendor", DEFAULTS), tmp_path) == ["vendor/a.c"]


def test_storage_of_version_control_and_of_mctool_is_left_out_silently(tmp_path):
    write(tmp_path, ".git/config", ".hg/store", ".svn/entries", ".mctool/zarr.json", "a.txt")
    found = find_files(tmp_path, DEFAULTS)
    assert taken(found, tmp_path) == ["a.txt"]
    assert found.skipped == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("photo.PNG", "binary"),
        ("book.mobi", "MOBI needs a reader that this version does not have"),
        ("letter.doc", "DOC needs a reader that this version does not have"),
        ("texts.7z", "archive; unpack it and ingest the files"),
    ],
)
def test_formats_without_a_reader_are_skipped_even_when_named(tmp_path, name, reason):
    write(tmp_path, name)
    assert reasons(find_files(tmp_path, DEFAULTS), tmp_path) == {name: reason}
    assert reasons(find_files(tmp_path / name, DEFAULTS), tmp_path) == {name: reason}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("app.min.js", "minified"),
        ("uv.lock", "lock file"),
        ("go.sum", "lock file"),
        (".DS_Store", "file of the operating system"),
    ],
)
def test_machine_made_names_are_skipped_unless_named(tmp_path, name, reason):
    write(tmp_path, name)
    assert reasons(find_files(tmp_path, DEFAULTS), tmp_path) == {name: reason}
    [file] = find_files(tmp_path / name, DEFAULTS).files
    assert file.named


def test_hidden_files_are_taken(tmp_path):
    write(tmp_path, ".github/workflows/ci.yml", ".editorconfig")
    assert taken(find_files(tmp_path, DEFAULTS), tmp_path) == [".editorconfig", ".github/workflows/ci.yml"]


def test_empty_and_large_files_are_skipped_also_when_named(tmp_path):
    write(tmp_path, "empty.txt", text="")
    write(tmp_path, "large.txt", text="x" * 2001)
    write(tmp_path, "just.txt", text="x" * 2000)
    options = SourceOptions(max_file_mb=0.002)
    found = find_files(tmp_path, options)
    assert taken(found, tmp_path) == ["just.txt"]
    assert reasons(found, tmp_path) == {"empty.txt": "empty", "large.txt": "larger than 0.002 MB"}
    assert reasons(find_files(tmp_path / "large.txt", options), tmp_path) == {"large.txt": "larger than 0.002 MB"}


def test_include_and_exclude_drop_without_report(tmp_path):
    write(tmp_path, "a.py", "a.md", "docs/b.md", "docs/b.py", "docs/old/c.md", "pic.png")
    found = find_files(tmp_path, SourceOptions(include=("*.md",), exclude=("old/",)))
    assert taken(found, tmp_path) == ["a.md", "docs/b.md"]
    assert found.skipped == []
    found = find_files(tmp_path, SourceOptions(include=("docs/",), exclude=("*.md", "!b.md")))
    assert taken(found, tmp_path) == ["docs/b.md", "docs/b.py"]


def test_a_named_file_is_taken_whatever_rules_and_patterns_say(tmp_path):
    write(tmp_path, "notes.log")
    write(tmp_path, ".mctoolignore", ".gitignore", text="*.log\n")
    found = find_files(tmp_path / "notes.log", SourceOptions(include=("*.py",), exclude=("*.log",)))
    assert taken(found, tmp_path) == ["notes.log"]


def test_links(tmp_path):
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    write(outside, "secret.txt")
    write(inside, "real.txt", "sub/x.txt")
    (inside / "alias.txt").symlink_to("real.txt")
    (inside / "secret.txt").symlink_to(outside / "secret.txt")
    (inside / "loop").symlink_to(inside)
    (inside / "self").symlink_to("self")
    (inside / "gone.txt").symlink_to("nowhere")
    found = find_files(inside, DEFAULTS)
    assert taken(found, inside) == ["alias.txt", "real.txt", "sub/x.txt"]
    assert reasons(found, inside) == {
        "gone.txt": "broken link",
        "loop": "link to a directory",
        "secret.txt": "link to a file outside the source",
        "self": "broken link",
    }


def test_links_that_the_user_names_are_followed_and_kept_in_paths(tmp_path):
    write(tmp_path, "real/a.txt")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file-link").symlink_to("real/a.txt")
    assert taken(find_files(tmp_path / "link", DEFAULTS), tmp_path) == ["link/a.txt"]
    assert taken(find_files(tmp_path / "file-link", DEFAULTS), tmp_path) == ["file-link"]


def test_pipes_and_sockets_are_skipped(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        found = find_files(tmp_path, DEFAULTS)
    assert reasons(found, tmp_path) == {"pipe": "not a regular file", "socket": "not a regular file"}
    assert reasons(find_files(tmp_path / "pipe", DEFAULTS), tmp_path) == {"pipe": "not a regular file"}


def test_name_that_is_not_utf8_is_skipped_with_a_printable_path(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system takes no such names")
    found = find_files(tmp_path, DEFAULTS)
    assert reasons(found, tmp_path) == {"caf\\xe9.txt": "path is not valid UTF-8"}


def test_relative_source_gives_absolute_files_and_skips_as_given(tmp_path, monkeypatch):
    write(tmp_path, "src/a.txt", "src/sub/b.png")
    monkeypatch.chdir(tmp_path)
    found = find_files(Path("src/../src"), DEFAULTS)
    assert [file.path for file in found.files] == [tmp_path / "src" / "a.txt"]
    assert [skipped.path for skipped in found.skipped] == ["src/../src/sub/b.png"]
    assert [skipped.path for skipped in find_files(Path(), SourceOptions(max_file_mb=1e-6)).skipped] == [
        "src/a.txt",
        "src/sub/b.png",
    ]


def test_missing_source_says_so(tmp_path):
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(SourceError, match="nothing does not exist"):
        find_files(tmp_path / "nothing", DEFAULTS)
    with pytest.raises(SourceError, match=r"page.html does not exist; fetch it: `curl"):
        find_files(Path("https://example.org/page.html"), DEFAULTS)
    with pytest.raises(SourceError, match="dangling is a broken link"):
        find_files(tmp_path / "dangling", DEFAULTS)


def test_path_below_a_file_cannot_be_read(tmp_path):
    write(tmp_path, "a.txt")
    with pytest.raises(SourceError, match="Not a directory"):
        find_files(tmp_path / "a.txt" / "b.txt", DEFAULTS)


def forbid(monkeypatch, closed: Path) -> None:
    """Make one directory unreadable, whoever runs the tests."""
    real = os.listdir

    def listdir(directory):
        if Path(directory) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
        return real(directory)

    monkeypatch.setattr(find_module.os, "listdir", listdir)


def test_unreadable_directory_is_a_skip_below_the_source_and_an_error_as_the_source(tmp_path, monkeypatch):
    write(tmp_path, "a.txt", "closed/b.txt")
    forbid(monkeypatch, tmp_path / "closed")
    found = find_files(tmp_path, DEFAULTS)
    assert taken(found, tmp_path) == ["a.txt"]
    assert reasons(found, tmp_path) == {"closed": "cannot be read: Permission denied"}
    with pytest.raises(SourceError, match="closed cannot be read: Permission denied"):
        find_files(tmp_path / "closed", DEFAULTS)


def test_directory_with_nothing_in_it_finds_nothing(tmp_path):
    assert find_files(tmp_path, DEFAULTS) == Found([], [])
