"""The use case ``doctor``: what mctool finds on this machine. It goes on where something is missing, and says so."""

from __future__ import annotations

import locale
import os
import platform
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MctoolError, MissingBackendError, TreeNotFoundError
from mctool.core.records import Record
from mctool.version import __version__

State = Literal["ok", "note", "broken"]
PROGRAM = "mctool"
LOW_SPACE_BYTES = 1_000_000_000
_FOR_TESTS = 'extra == "test"'
_REINSTALL = "reinstall it with `pip install mctool`"


@dataclass(frozen=True)
class Finding(Record):
    """One thing that was looked at.

    Attributes:
        section: What it belongs to.
        name: What it is.
        value: What was found.
        state: ``note`` for what may surprise, ``broken`` for what has to be mended.
        fix: What to do about it; None where nothing has to be done.
    """

    section: str
    name: str
    value: str
    state: State = "ok"
    fix: str | None = None


@dataclass(frozen=True)
class DoctorReport(Record):
    """Result of ``mctool doctor``; ``ok`` when nothing is broken."""

    version: str
    ok: bool
    findings: list[Finding]


@dataclass
class Examination:
    """The report, and the first error among what is broken, whose exit code is that of the command."""

    report: DoctorReport
    error: MctoolError | None = None


@dataclass
class _Notes:
    findings: list[Finding] = field(default_factory=list)
    errors: list[MctoolError] = field(default_factory=list)

    def add(self, section: str, name: str, value: object, state: State = "ok", fix: str | None = None) -> None:
        self.findings.append(Finding(section, name, str(value), state, fix))

    def broken(self, section: str, name: str, error: MctoolError) -> None:
        self.errors.append(error)
        self.add(section, name, error.message, "broken", error.fix)


def examine(tree: Path | None = None, model: str = DEFAULT_MODEL, device: str = "auto") -> Examination:
    """Look at the machine, the packages, the model, the nets and the tree here; nothing is changed or fetched.

    Args:
        tree: As given to ``--tree``; None for the nearest one, if there is one.
        model: The base model that would be used.
        device: Where it would compute.
    """
    notes = _Notes()
    _look_at_machine(notes)
    _look_at_packages(notes)
    _look_at_torch(notes, device)
    _look_at_model(notes, model)
    _look_at_nets(notes, model)
    _look_at_tree(notes, tree)
    _look_at_terminal(notes)
    report = DoctorReport(__version__, not notes.errors, notes.findings)
    return Examination(report, notes.errors[0] if notes.errors else None)


def _look_at_machine(notes: _Notes) -> None:
    add = notes.add
    add("machine", "system", platform.platform())
    add("machine", "python", f"{platform.python_version()} at {sys.executable}")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    add("machine", "processors", f"{usable} of {os.cpu_count()} ({platform.machine()})")
    try:
        add("machine", "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB")
    except (ValueError, OSError):
        add("machine", "memory", "unknown")
    git = shutil.which("git")
    add("machine", "git", git or "not found: ignore rules are read without it", "ok" if git else "note")
    settings = {
        name: value for name, value in sorted(os.environ.items()) if name.startswith(("MCTOOL_", "OMP_", "HF_"))
    }
    shown = (f"{name}={'(set)' if 'TOKEN' in name else value}" for name, value in settings.items())
    add("machine", "environment", " ".join(shown) or "nothing set")


def _look_at_packages(notes: _Notes) -> None:
    try:
        required = metadata.requires(PROGRAM) or []
    except metadata.PackageNotFoundError:
        notes.add("packages", PROGRAM, f"{__version__}, not installed as a package", "note")
        return
    notes.add("packages", PROGRAM, f"{__version__} at {Path(__file__).parent.parent}")
    for line in required:
        if _FOR_TESTS in line:
            continue
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        is_extra = "extra ==" in line
        try:
            notes.add("packages", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            if is_extra:
                notes.add("packages", name, "not installed (an extra)", "note")
            else:
                notes.broken("packages", name, MissingBackendError(f"{name} is not installed", _REINSTALL))
    notes.add("packages", "SQLite", sqlite3.sqlite_version)


def _look_at_torch(notes: _Notes, device: str) -> None:
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:
        notes.broken("torch", "import", MissingBackendError(f"torch cannot be imported: {error}", _REINSTALL))
        return
    notes.add("torch", "threads", torch.get_num_threads())
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    notes.add("torch", "CUDA", ", ".join(gpus) if torch.cuda.is_available() and gpus else "none")
    notes.add("torch", "MPS", "yes" if torch.backends.mps.is_available() else "none")
    try:
        from mctool.nets.device import choose_device

        notes.add("torch", "device", f"{choose_device(device)} (--device {device})")
    except ImportError as error:
        notes.broken("torch", "device", MissingBackendError(f"{error}", _REINSTALL))
    except MctoolError as error:
        notes.broken("torch", "device", error)


def _look_at_model(notes: _Notes, model: str) -> None:
    from mctool.nets.model_cache import cache_root
    from mctool.nets.model_store import resolve_model

    root = cache_root()
    is_writable = os.access(_existing(root), os.W_OK)
    fix = None if is_writable else "let MCTOOL_CACHE name a directory that you may write to"
    notes.add("model", "cache", f"{root}{'' if is_writable else ', not writable'}", "note" if fix else "ok", fix)
    _look_at_space(notes, "model", root)
    try:
        notes.add("model", model, resolve_model(model, allow_download=False).directory)
    except MissingBackendError as error:  # the first use fetches it
        notes.add("model", model, error.message, "note", error.fix)
    except MctoolError as error:
        notes.broken("model", model, error)


def _look_at_nets(notes: _Notes, model: str) -> None:
    from mctool.nets.key_folder import CARD_FILE, FOLDER, find_key_encoder
    from mctool.nets.weights_folder import find_card

    name = Path(model).name if Path(model).exists() else model
    looks: dict[str, Callable[[], Path | None]] = {
        "lens keys": lambda: folder / CARD_FILE if (folder := find_key_encoder()) else None,
        "GistNet": lambda: find_card(name, "gistnet.json"),
        "adapter": lambda: find_card(name, "lora/card.json"),
    }
    for what, look in looks.items():
        try:
            card = look()
            _ = card and _read_card(card)
        except MctoolError as error:
            notes.broken("nets", what, error)
            continue
        where = f"none in {FOLDER}" if what == "lens keys" else f"none for {name}"
        notes.add("nets", what, card.parent if card else where, "ok" if card else "note")


def _read_card(card: Path) -> object:
    from mctool.nets.weights_folder import net_mismatch, read_fields

    try:
        return read_fields(card)
    except (OSError, ValueError) as error:
        raise net_mismatch("net", card.parent, f"{card.name} cannot be read: {error}") from error


def _look_at_tree(notes: _Notes, tree: Path | None) -> None:
    try:
        from mctool.app.trees import locate_tree
        from mctool.tree import Tree, check_lexical
        from mctool.tree.layout import ARCHIVE_FORMAT
    except ImportError as error:
        notes.broken("tree", "import", MissingBackendError(f"{error}", _REINSTALL))
        return
    try:
        place = locate_tree(tree)
        notes.add("tree", "path", place)
        _look_at_space(notes, "tree", place)
        with Tree.open(place) as opened:
            notes.add("tree", "format", f"{opened.format} (this mctool: up to {ARCHIVE_FORMAT})")
            notes.add("tree", "made with", f"{opened.fingerprint.model}, {'' if opened.has_gists else 'no '}gists")
            live = opened.timeline
            notes.add("tree", "holds", f"{live.total_tokens:,} tokens in {len(opened.documents):,} documents")
            notes.add("tree", "generation", opened.generation)
            fault = check_lexical(opened) if opened.documents else None
            fix = "the next `mctool ingest` makes it anew" if fault else None
            notes.add("tree", "lexical index", fault or "sound", "note" if fault else "ok", fix)
            notes.add("tree", "state", "its files are there; `mctool verify` checks every byte")
            may_write = os.access(place, os.W_OK)
            notes.add("tree", "access", "may be written" if may_write else "read-only", "ok" if may_write else "note")
    except TreeNotFoundError as error:
        if tree is None:
            notes.add("tree", "path", "none here", fix=error.fix)
        else:
            notes.broken("tree", "path", error)
    except MctoolError as error:
        notes.broken("tree", "state", error)


def _look_at_space(notes: _Notes, section: str, place: Path) -> None:
    free = shutil.disk_usage(_existing(place)).free
    is_low = free < LOW_SPACE_BYTES
    notes.add(section, "free space", f"{free / 1e9:.1f} GB", "note" if is_low else "ok", _LOW if is_low else None)


_LOW = "free some disk space"


def _existing(place: Path) -> Path:
    """The place, or the nearest directory above it that is there."""
    return next(path for path in (place, *place.absolute().parents) if path.exists())


def _look_at_terminal(notes: _Notes) -> None:
    for name, value, state in _terminal():
        notes.add("terminal", name, value, state)


def _terminal() -> Iterator[tuple[str, str, State]]:
    encoding = locale.getpreferredencoding(do_setlocale=False)
    is_utf = encoding.lower().replace("-", "").startswith("utf")
    yield (
        "locale",
        f"{encoding} ({os.environ.get('LC_ALL') or os.environ.get('LANG') or 'not set'})",
        ("ok" if is_utf else "note"),
    )
    kind = "a terminal" if sys.stdout.isatty() else "no terminal"
    yield "stdout", f"{kind}, {sys.stdout.encoding}, {shutil.get_terminal_size().columns} columns", "ok"
    yield "colour", f"TERM={os.environ.get('TERM', '')} NO_COLOR={os.environ.get('NO_COLOR', '')}", "ok"
