"""What git knows about a directory: the files it tracks or would track, and what it ignores."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE")


@dataclass(frozen=True)
class GitListing:
    """A directory of a git work tree as git lists it. Paths are relative to that directory, with slashes.

    Attributes:
        names: For each directory ("" for the top), the names in it that git lists or ignores. Directories that git
            does not look into (nested repositories, ignored directories) are no keys of their own.
        ignored: Paths that git ignores; an ignored directory stands for all that is in it.
        n_listed: Number of paths that are not ignored.
    """

    names: dict[str, set[str]]
    ignored: frozenset[str]
    n_listed: int


def git_listing(directory: Path) -> GitListing | None:
    """List a directory with git: tracked files, and untracked ones that no rule of git ignores.

    Two git processes, however large the directory. Files that are tracked but gone from the disk are listed.

    Returns:
        None when there is no git program here, or git does not take the directory for part of a work tree.
    """
    listed = _ls_files(directory, "--cached", "--others")
    ignored = _ls_files(directory, "--others", "--ignored", "--directory") if listed is not None else None
    if listed is None or ignored is None:
        return None
    names: dict[str, set[str]] = defaultdict(set)
    names[""] = set()
    for path in (*listed, *ignored):
        parent, _, name = path.rpartition("/")
        while name not in names[parent]:
            names[parent].add(name)
            if not parent:
                break
            parent, _, name = parent.rpartition("/")
    return GitListing(dict(names), frozenset(ignored), len(listed))


def _ls_files(directory: Path, *selection: str) -> set[str] | None:
    """Paths from ``git ls-files`` without the slash that ends directories; None when git cannot say."""
    # A repository's own settings must not make git start a program of its choice (core.fsmonitor).
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "ls-files", "--exclude-standard", "-z"]
    # Set inside git hooks, these would point git at another repository than the one around the directory.
    environment = {key: value for key, value in os.environ.items() if key not in _REPOSITORY_VARIABLES}
    try:
        done = subprocess.run(
            [*command, *selection],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    if done.returncode:
        return None
    return {os.fsdecode(path).removesuffix("/") for path in done.stdout.split(b"\0") if path}
