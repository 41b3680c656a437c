"""The cache directory of models: directories that are either complete or not there at all.

A cached directory carries a card that says what it was made from and by which version of the conversion; one with
another card is made again. This module does not know where models come from.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_dir

from mctool.core.errors import MismatchError, ResourceError

Report = Callable[[str], None]
"""Takes one line about progress."""

CONVERSION = 1
"""Version of the conversion; raised when what it writes changes, so that older copies are made again."""


@dataclass(frozen=True)
class CacheCard:
    """What a cached directory was made from.

    Attributes:
        source_sha256: sha256 of the file that was converted.
        conversion: Version of the conversion.
    """

    source_sha256: str
    conversion: int = CONVERSION

    def is_of(self, directory: Path) -> bool:
        """Whether ``directory`` is complete and was made from this source by this version."""
        try:
            found = json.loads((directory / "card.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found == asdict(self)) and not missing_files(directory)

    def write(self, directory: Path) -> None:
        """Mark ``directory`` as made from this source."""
        (directory / "card.json").write_text(json.dumps(asdict(self)), "utf-8")


def missing_files(directory: Path) -> list[str]:
    """What a directory lacks to be a model: names of files, in the order in which a user would look for them."""
    missing = [file for file in ("config.json", "tokenizer.json") if not (directory / file).is_file()]
    return missing + [file for file in weight_files(directory) if not (directory / file).is_file()]


def weight_files(directory: Path) -> list[str]:
    """Names of the safetensors files that the weights in ``directory`` consist of, whether or not they are there.

    Raises:
        MismatchError: The index of the weights is not one.
    """
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(file.name for file in directory.glob("*.safetensors")) or ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise MismatchError(f"{index} is not an index of safetensors files", "get the model again") from error


def cache_root() -> Path:
    """The cache directory: ``$MCTOOL_CACHE``, else the user's one of this platform."""
    return Path(os.environ.get("MCTOOL_CACHE") or user_cache_dir("mctool", appauthor=False))


def ensure_cached(target: Path, card: CacheCard, build: Callable[[Path], None], report: Report) -> None:
    """Make ``target`` by calling ``build`` on an empty directory beside it, unless it is there.

    The directory takes its place in one rename when it is complete. Of several processes that ask for it at once, one
    builds and the others wait.

    Raises:
        ResourceError: The cache cannot be written, or the disk is full.
    """
    if card.is_of(target):
        return
    with cache_failures(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / f"{target.name}.lock", report):
            if card.is_of(target):
                return
            for leftover in target.parent.glob(f"{target.name}.part-*"):
                shutil.rmtree(leftover)
            with tempfile.TemporaryDirectory(prefix=f"{target.name}.part-", dir=target.parent) as part:
                made = Path(part) / target.name
                made.mkdir()
                build(made)
                card.write(made)
                if target.exists():
                    shutil.rmtree(target)
                made.rename(target)


@contextmanager
def cache_failures(folder: Path) -> Iterator[None]:
    """Turn errors of the file system and a lack of memory while filling ``folder`` into ResourceError."""
    try:
        yield
    except OSError as error:
        fix = "free some disk space, or set MCTOOL_CACHE to a directory with room that you may write to"
        raise ResourceError(f"cannot write to the model cache {folder}: {error.strerror or error}", fix) from error
    except MemoryError as error:
        raise ResourceError("out of memory while converting a model", "close other programs and run again") from error


def require_room(folder: Path, n_bytes: int) -> None:
    """Check that the disk of ``folder`` has ``n_bytes`` free.

    Raises:
        ResourceError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise ResourceError(
            f"the model cache {folder} has {free / 1e6:.0f} MB free and {n_bytes / 1e6:.0f} MB are needed",
            "free some disk space, or set MCTOOL_CACHE to a directory with more room",
        )


@contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("waiting for another process that is fetching or converting the same model")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
