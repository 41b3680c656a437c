"""Ignore rules: by git itself, by the walk that stands in for git, and the two against each other."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mctool.sources import SourceOptions, find_files
from mctool.sources import find as find_module
from mctool.sources.git import git_listing
from mctool.sources.ignore import compile_pattern

DEFAULTS = SourceOptions()
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def build(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def taken(root: Path, source: Path | None = None) -> list[str]:
    return [str(file.path.relative_to(root)) for file in find_files(source or root, DEFAULTS).files]


def reasons(root: Path) -> dict[str, str]:
    return {str(Path(s.path).relative_to(root)): s.reason for s in find_files(root, DEFAULTS).skipped}


@pytest.fixture(params=["git", "walk"])
def repository(request, tmp_path, monkeypatch):
    """A repository that is read through git, and again as if there were no git program."""
    if request.param == "git":
        if shutil.which("git") is None:
            pytest.skip("needs git")
        git(tmp_path, "init", "-q")
    else:
        (tmp_path / ".git" / "info").mkdir(parents=True)
        monkeypatch.setattr(find_module, "git_listing", lambda directory: None)
    return tmp_path


def test_nested_rules_and_negation(repository):
    build(
        repository,
        {
            ".gitignore": "*.log\n/build\ndata/**\n!data/**/\n!data/**/*.csv\n",
            "sub/.gitignore": "!keep.log\nlocal/\n",
            "a.log": "x",
            "build/out.txt": "x",
            "data/deep/t.csv": "x",
            "data/deep/t.bin": "x",
            "sub/keep.log": "x",
            "sub/a.log": "x",
            "sub/build/in.txt": "x",
            "sub/local/x.txt": "x",
        },
    )
    expected = [".gitignore", "data/deep/t.csv", "sub/.gitignore", "sub/build/in.txt", "sub/keep.log"]
    assert taken(repository) == expected
    assert reasons(repository) == dict.fromkeys(
        ["a.log", "build", "data/deep/t.bin", "sub/a.log", "sub/local"], "ignored by git"
    )


def test_info_exclude_is_the_weakest_rule(repository):
    build(repository, {".gitignore": "!b.txt\n", "a.txt": "x", "b.txt": "x", "c.md": "x"})
    (repository / ".git" / "info" / "exclude").write_text("*.txt\n")
    assert taken(repository) == [".gitignore", "b.txt", "c.md"]


def test_rules_above_the_source_hold_below_it(repository):
    build(repository, {".gitignore": "*.log\n", ".mctoolignore": "*.tmp\n", "s/a.log": "x", "s/b.tmp": "x", "s/c": "x"})
    assert taken(repository, repository / "s") == ["s/c"]


def test_ignored_directory_is_walked_when_the_user_names_it(repository):
    build(repository, {".gitignore": "out/\n", ".mctoolignore": "out/\n", "out/a.txt": "x", "out/b/c.txt": "x"})
    assert taken(repository) == [".gitignore", ".mctoolignore"]
    assert taken(repository, repository / "out") == ["out/a.txt", "out/b/c.txt"]


def test_own_ignore_file_takes_away_and_never_gives_back(repository):
    build(
        repository,
        {
            ".gitignore": "*.log\n",
            ".mctoolignore": "*.txt\n!keep.txt\n!a.log\ndrafts/\n",
            "a.log": "x",
            "a.txt": "x",
            "keep.txt": "x",
            "drafts/one.md": "x",
            "sub/.mctoolignore": "!a.txt\n",
            "sub/a.txt": "x",
        },
    )
    assert taken(repository) == [".gitignore", ".mctoolignore", "keep.txt", "sub/.mctoolignore", "sub/a.txt"]
    assert reasons(repository) == {
        "a.log": "ignored by git",
        "a.txt": "ignored by .mctoolignore",
        "drafts": "ignored by .mctoolignore",
    }


def test_dist_and_build_are_taken_unless_ignored(repository):
    build(repository, {"dist/a.txt": "x", "build/b.txt": "x"})
    assert taken(repository) == ["build/b.txt", "dist/a.txt"]


def test_nested_repository_has_rules_of_its_own(repository):
    build(repository, {".gitignore": "*.log\n", ".mctoolignore": "*.tmp\n", "a.log": "x", "a.txt": "x"})
    inner = repository / "inner"
    build(inner, {".git/info/exclude": "x.txt\n", "i.log": "x", "i.tmp": "x", "x.txt": "x"})
    if (repository / ".git" / "HEAD").exists():
        shutil.rmtree(inner / ".git")
        git(inner, "init", "-q")
        (inner / ".git" / "info" / "exclude").write_text("x.txt\n")
    assert taken(repository) == [".gitignore", ".mctoolignore", "a.txt", "inner/i.log"]


def test_vendored_directories_are_skipped_in_a_repository(repository):
    build(repository, {"vendor/a.c": "x", "vendor/b/c.c": "x", "src/vendor/d.c": "x", "src/e.c": "x"})
    assert taken(repository) == ["src/e.c"]
    assert reasons(repository) == {"src/vendor": "vendored code", "vendor": "vendored code"}


@needs_git
def test_tracked_files_are_taken_though_ignored_and_dropped_when_deleted(tmp_path):
    build(tmp_path, {".gitignore": "*.log\n", "tracked.log": "x", "deleted.txt": "x", "other.log": "x"})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "tracked.log", "deleted.txt")
    (tmp_path / "deleted.txt").unlink()
    assert taken(tmp_path) == [".gitignore", "tracked.log"]
    assert reasons(tmp_path) == {"other.log": "ignored by git"}


@needs_git
def test_file_with_a_merge_conflict_is_taken_once(tmp_path):
    git(tmp_path, "init", "-q")
    build(tmp_path, {"f": "base"})
    git(tmp_path, "add", "f")
    git(tmp_path, "commit", "-q", "-m", "base")
    git(tmp_path, "branch", "other")
    for text in ("ours", "theirs"):
        (tmp_path / "f").write_text(text)
        git(tmp_path, "commit", "-q", "-a", "-m", text)
        if text == "ours":
            git(tmp_path, "checkout", "-q", "other")
    with pytest.raises(subprocess.CalledProcessError):
        git(tmp_path, "merge", "-")
    assert taken(tmp_path) == ["f"]


@needs_git
def test_submodule_files_are_taken(tmp_path):
    library, project = tmp_path / "library", tmp_path / "project"
    build(library, {"l.txt": "x"})
    build(project, {"p.txt": "x"})
    for root in (library, project):
        git(root, "init", "-q")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "first")
    git(project, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "sub")
    assert taken(project) == [".gitmodules", "p.txt", "sub/l.txt"]


@needs_git
def test_tracked_directory_that_became_a_link_is_not_followed(tmp_path):
    repository, outside = tmp_path / "repository", tmp_path / "outside"
    build(repository, {"d/a.txt": "x"})
    build(outside, {"a.txt": "secret"})
    git(repository, "init", "-q")
    git(repository, "add", ".")
    shutil.rmtree(repository / "d")
    (repository / "d").symlink_to(outside)
    assert taken(repository) == []
    assert reasons(repository) == {"d": "link to a directory"}


@needs_git
def test_a_repository_cannot_make_git_run_a_program(tmp_path):
    git(tmp_path, "init", "-q")
    build(tmp_path, {"a.txt": "x"})
    git(tmp_path, "config", "core.fsmonitor", f"touch {tmp_path.parent}/ran; false")
    assert taken(tmp_path) == ["a.txt"]
    assert not (tmp_path.parent / "ran").exists()


@needs_git
def test_variables_of_a_git_hook_do_not_mislead(tmp_path, monkeypatch):
    for name in ("mine", "other"):
        build(tmp_path, {f"{name}/{name}.txt": "x"})
        git(tmp_path / name, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert taken(tmp_path / "mine") == ["mine.txt"]


def test_without_git_or_outside_a_work_tree_there_is_no_listing(tmp_path, monkeypatch):
    assert git_listing(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_listing(tmp_path) is None


def test_unreadable_ignore_file_keeps_its_directory_out(tmp_path, monkeypatch):
    build(tmp_path, {"a.txt": "x", "sub/.gitignore": "secret\n", "sub/secret": "x"})
    real = Path.read_bytes

    def read_bytes(path):
        if path == tmp_path / "sub" / ".gitignore":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert taken(tmp_path) == ["a.txt"]
    assert reasons(tmp_path) == {"sub": "cannot be read: Permission denied"}


@pytest.mark.parametrize("line", ["", "   ", "# comment", "/", "!", "[z-a]", "dir\\", "[", "\r"])
def test_lines_that_match_nothing_are_no_patterns(line):
    assert compile_pattern(line) is None


@pytest.mark.parametrize(
    ("line", "matched", "unmatched"),
    [
        ("*.log", ["a.log", "b/a.log"], ["a.log/b"]),
        ("/*.log", ["a.log"], ["b/a.log"]),
        ("a/**", ["a/b", "a/b/c"], ["a"]),
        ("**", ["a", "a/b"], []),
        ("*", ["a", "a/b"], []),
        ("/*", ["a"], ["a/b"]),
        ("**/a", ["a", "b/c/a"], ["a/b"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["a/b/c"]),
        ("a b \r", ["a b"], ["a b "]),
        ("\\#x", ["#x"], ["x"]),
        ("\\!x", ["!x"], ["x"]),
        ("[!a]x", ["bx"], ["ax"]),
    ],
)
def test_pattern_matches_the_path_itself_only(line, matched, unmatched):
    pattern = compile_pattern(line)
    assert all(pattern.regex.fullmatch(path) for path in matched)
    assert not any(pattern.regex.fullmatch(path) for path in unmatched)


NAMES = st.sampled_from(["a", "b", "c.py", "d.log", "build"])
PATTERNS = st.sampled_from(
    [
        *("*.log", "!*.log", "build", "build/", "/build", "!build", "a/", "a/b", "a/*", "!a/b", "**/c.py", "a/**"),
        *("a/**/c.py", "*", "!*/", "/*", "!/a", "b/**", "[a-b]", "!a/**", "/a/*/c.py", "**/b/**", "[!a]*", "**/a/"),
        *("b/*/", "!/*/"),
    ]
)


@needs_git
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=12),
    rules=st.lists(st.tuples(st.integers(0, 11), st.lists(PATTERNS, min_size=1, max_size=3)), min_size=1, max_size=3),
)
def test_walk_takes_what_git_takes(tmp_path_factory, paths, rules):
    root = tmp_path_factory.mktemp("repository")
    for parts in paths:
        path = root.joinpath(*parts)
        if not path.exists() and all(not parent.is_file() for parent in path.parents):
            build(root, {str(path.relative_to(root)): "x"})
    directories = sorted(Path(directory) for directory, _, _ in os.walk(root))
    for place, lines in rules:
        (directories[place % len(directories)] / ".gitignore").write_text("\n".join(lines))
    git(root, "init", "-q")
    by_git = taken(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find_module, "git_listing", lambda directory: None)
        assert taken(root) == by_git
