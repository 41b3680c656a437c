"""From a path that the user names to the files worth reading, going by names and file status only."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from mctool.core.errors import SourceError
from mctool.core.records import Skipped
from mctool.sources.documents import Found, FoundFile
from mctool.sources.git import GitListing, git_listing
from mctool.sources.ignore import (
    GIT_IGNORE,
    OWN_IGNORE,
    IgnoreRules,
    ignores,
    inherited_rules,
    read_rules,
    repository_rules,
)
from mctool.sources.names import (
    EMPTY,
    NOT_REGULAR,
    PRIVATE_NAMES,
    directory_reason,
    file_reason,
    holds_virtual_environment,
)
from mctool.sources.options import SourceOptions

_BY_GIT = "ignored by git"
_BY_OWN_RULES = f"ignored by {OWN_IGNORE}"
_VIRTUAL_ENVIRONMENT = "virtual environment"


def find_files(source: Path, options: SourceOptions) -> Found:
    """List the files that a source stands for, in path order, without opening any of them.

    A directory is listed by git where it is part of a work tree, else walked by the rules of .gitignore and
    .git/info/exclude; .mctoolignore can only take more away. Nested repositories are walked, with rules of their own.
    A directory that git ignores as a whole, but that the user names, is walked like one outside git.
    A file is taken whatever the rules say.

    Args:
        source: A file or a directory.
        options: What to take.

    Returns:
        The files, and what was left out and why; a directory that is left out is listed once. Files that ``options``
        drops and the storage of version control are not listed. Paths in ``skipped`` begin with ``source`` as given.

    Raises:
        SourceError: The source is missing or cannot be read.
    """
    path = Path(os.path.abspath(source))  # noqa: PTH100  (Path.resolve would follow links)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _walk_directory(path, source, options)
    except FileNotFoundError as error:
        message = f"{source} is a broken link" if path.is_symlink() else f"{source} does not exist"
        is_address = re.match(r"https?:/", str(source)) is not None
        fix = "fetch it: `curl -s URL | mctool ingest - --name page.html`" if is_address else "check the path"
        raise SourceError(message, fix) from error
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror}", "check the path and its permissions") from error
    reason = _file_reason(path, status, options, named=True)
    if reason is not None:
        return Found([], [Skipped(_printable(source), reason)])
    return Found([FoundFile(path, status.st_size, status.st_mtime_ns, named=True)], [])


def _walk_directory(root: Path, shown: Path, options: SourceOptions) -> Found:
    listing = git_listing(root)
    git_rules = inherited_rules(root, GIT_IGNORE) if listing is None else None
    if listing is not None and not listing.n_listed:
        # Nothing but ignored files: the user names a directory that the repository around it leaves out.
        listing, git_rules = None, repository_rules(root)
    walk = _Walk(root, shown, options)
    walk.run(_Visit(root, listing, git_rules, inherited_rules(root, OWN_IGNORE)))
    return Found(
        sorted(walk.files, key=lambda file: file.path.parts),
        sorted(walk.skipped, key=lambda skipped: Path(skipped.path).parts),
    )


@dataclass(frozen=True)
class _Visit:
    """A directory still to visit.

    Attributes:
        directory: Absolute path.
        listing: What git lists in and below it; None to go by what is on disk and ``git_rules``.
        git_rules: Rules of .gitignore files above it.
        own_rules: Rules of .mctoolignore files above it.
    """

    directory: Path
    listing: GitListing | None
    git_rules: IgnoreRules | None
    own_rules: IgnoreRules | None


class _Walk:
    """One pass over a directory: what it found so far, and what is still to visit."""

    def __init__(self, root: Path, shown: Path, options: SourceOptions) -> None:
        self.files: list[FoundFile] = []
        self.skipped: list[Skipped] = []
        self._root = root
        self._resolved_root = root.resolve()
        self._shown = shown
        self._options = options
        self._exclude = IgnoreRules.of_lines(root, options.exclude)

    def run(self, first: _Visit) -> None:
        """Visit the root and all below it.

        Raises:
            OSError: The root itself cannot be read.
        """
        to_visit = [first]
        while to_visit:
            visit = to_visit.pop()
            try:
                to_visit.extend(self._visit(visit))
            except OSError as error:
                if visit is first:
                    raise
                self._skip_unreadable(visit.directory, error)

    def _visit(self, visit: _Visit) -> list[_Visit]:
        """Take the files of one directory; return the directories in it to visit next."""
        directory = visit.directory
        known = visit.listing.names.get(self._relative(directory)) if visit.listing else None
        names = set(os.listdir(directory)) if known is None else known  # noqa: PTH208  (names only, no Path each)
        # A directory that git does not look into is a nested repository: the listing ends there.
        listing = None if known is None else visit.listing
        git_rules = visit.git_rules
        if directory != self._root:
            if holds_virtual_environment(names):
                self._skip(directory, _VIRTUAL_ENVIRONMENT)
                return []
            if ".git" in names:
                git_rules = repository_rules(directory)
        if listing is None:
            git_rules = read_rules(directory / GIT_IGNORE, directory, git_rules)
        own_rules = read_rules(directory / OWN_IGNORE, directory, visit.own_rules)
        here = _Visit(directory, listing, git_rules, own_rules)
        inner = (self._consider(here, directory / name) for name in names - PRIVATE_NAMES)
        return [path for path in inner if path is not None]

    def _consider(self, here: _Visit, path: Path) -> _Visit | None:
        """Take or skip one path of a directory; return it if it is a directory to visit."""
        try:
            status = path.lstat()
        except OSError as error:
            self._skip_unreadable(path, error)
            return None
        is_directory = stat.S_ISDIR(status.st_mode)
        if self._drops(path, is_directory):
            return None
        reason = directory_reason(path.name) if is_directory else None
        reason = reason or self._rule_reason(here, path, is_directory)
        if reason is not None:
            self._skip(path, reason)
        elif is_directory:
            return replace(here, directory=path)
        else:
            self._take(path, status)
        return None

    def _drops(self, path: Path, is_directory: bool) -> bool:
        """Whether the options leave the path out, which needs no report."""
        if ignores(self._exclude, path, is_directory):
            return True
        include = self._options.include_spec
        return include is not None and not is_directory and not include.match_file(self._relative(path))

    def _rule_reason(self, here: _Visit, path: Path, is_directory: bool) -> str | None:
        if here.listing is None:
            by_git = ignores(here.git_rules, path, is_directory)
        else:
            by_git = self._relative(path) in here.listing.ignored
        if by_git:
            return _BY_GIT
        return _BY_OWN_RULES if ignores(here.own_rules, path, is_directory) else None

    def _take(self, path: Path, status: os.stat_result) -> None:
        """Add a file, or the reason why it is not added."""
        if stat.S_ISLNK(status.st_mode):
            try:
                status = path.stat()
            except OSError:
                self._skip(path, "broken link")
                return
            if stat.S_ISDIR(status.st_mode):
                self._skip(path, "link to a directory")
                return
            if not path.resolve().is_relative_to(self._resolved_root):
                self._skip(path, "link to a file outside the source")
                return
        reason = _file_reason(path, status, self._options, named=False)
        if reason is not None:
            self._skip(path, reason)
        else:
            self.files.append(FoundFile(path, status.st_size, status.st_mtime_ns))

    def _relative(self, path: Path) -> str:
        return "" if path == self._root else str(path)[len(str(self._root)) :].lstrip("/")

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.append(Skipped(_printable(self._shown / self._relative(path)), reason))

    def _skip_unreadable(self, path: Path, error: OSError) -> None:
        # Gone is no news: git lists files that were deleted, and others may be deleted while we walk.
        if not isinstance(error, FileNotFoundError):
            self._skip(path, f"cannot be read: {error.strerror}")


def _file_reason(path: Path, status: os.stat_result, options: SourceOptions, named: bool) -> str | None:
    """Why a file is not read, going by its name and status; None if it is."""
    if not stat.S_ISREG(status.st_mode):
        return NOT_REGULAR
    if _printable(path) != str(path):
        return "path is not valid UTF-8"
    reason = file_reason(path.name, named)
    if reason is not None:
        return reason
    if not status.st_size:
        return EMPTY
    return options.too_large if status.st_size > options.max_bytes else None


def _printable(path: Path | str) -> str:
    """The path with bytes that are not UTF-8 written in hexadecimal, so that it can be printed and stored."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
