"""What mctool does when something is wrong with the disk, the tree, the sources or the clock.

``python tests/faults.py`` prints a table: the fault, the command that met it, its exit code, its one line on stderr,
and the documents that were lost. ``--json`` prints the rows as JSON, which is what the tests read.

After every fault it is undone, or the tree is repaired, and the tree must say what it said before.
"""

import argparse
import ctypes
import json
import os
import random
import resource
import shutil
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from forked import Child, Ended, Project, look, write_nets

from mctool.tree.layout import ARCHIVE_FORMAT

DOCUMENTS = {
    "letters.txt": "".join(f"Letter {n}: the keeper saw {n} ships near the pier.\n" for n in range(120)),
    "pier.py": "def count_boats(pier):\n    return len(pier.boats)\n" * 12,
}
MORE = {"more.txt": "".join(f"Entry {n}: {n * n} lanterns were lit.\n" for n in range(400))}
_HELD: list[sqlite3.Connection] = []
"""Locks that are held as long as the process lives."""

ASK = ("ask", "How many ships did the keeper see?", "--no-answer")
INGEST = ("ingest", "docs")
VERIFY = ("verify",)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what is to come of it.

    Attributes:
        name: For people; unique.
        command: What meets it.
        code: The documented exit code.
        says: Part of the one line on stderr; empty for nothing on stderr.
        harm: Does it to a project.
        within: Called in the process of the command, before it.
        mended: How the tree gets well again: the harm is undone, the tree is repaired, or nothing has to be done.
        after: What the tree says in the end.
    """

    name: str
    command: tuple[str, ...]
    code: int
    says: str
    harm: Callable[[Project], None] = lambda _project: None
    within: Callable[[Project], Any] = lambda _project: None
    mended: Literal["undone", "repaired", "not at all"] = "undone"
    after: tuple[str, ...] = tuple(DOCUMENTS)


@dataclass(frozen=True)
class Row:
    """What came of a fault."""

    fault: str
    command: str
    code: int
    message: str
    lines: int
    lost: int


def _flip(*patterns: str) -> Callable[[Project], None]:
    def harm(project: Project) -> None:
        for pattern in patterns:
            file = next(iter(sorted(project.tree.glob(pattern))))
            raw = bytearray(file.read_bytes())
            raw[len(raw) // 2] ^= 16
            file.write_bytes(raw)

    return harm


def _delete(pattern: str) -> Callable[[Project], None]:
    def harm(project: Project) -> None:
        for file in sorted(project.tree.glob(pattern)):
            shutil.rmtree(file) if file.is_dir() else file.unlink()

    return harm


def _cut(pattern: str) -> Callable[[Project], None]:
    def harm(project: Project) -> None:
        file = next(iter(sorted(project.tree.glob(pattern))))
        file.write_bytes(file.read_bytes()[:-1])

    return harm


def _more(project: Project) -> None:
    project.write(MORE)


def _much_more(project: Project) -> None:
    project.write({"noise.txt": "\n".join(f"{random.Random(n).getrandbits(400):x}" for n in range(1200))})


def _small_disk(n_bytes: int) -> Callable[[Project], None]:
    """No file may grow beyond a size, as on a disk that is full."""

    def within(_project: Project) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    return within


def _read_only(project: Project) -> None:
    _more(project)
    for place in (project.tree, *project.tree.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)


def _drop_rights(_project: Project) -> None:
    """Root may write anywhere, unless it gives up its capabilities."""
    header = struct.pack("Ii", 0x20080522, 0)
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "cannot give up the capabilities of root")


def _lock(project: Project) -> None:
    connection = sqlite3.connect(project.tree / "catalog.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    _HELD.append(connection)


def _turn_clock_back(_project: Project) -> None:
    import datetime

    import mctool.tree.writer as writer

    class Past(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            return datetime.datetime(1980, 1, 1, tzinfo=tz)

    writer.datetime = Past  # type: ignore[misc]


def _more_from_the_past(project: Project) -> None:
    _more(project)
    os.utime(project.docs / "more.txt", (1, 1))
    (project.docs / "pier.py").write_text(DOCUMENTS["pier.py"])
    os.utime(project.docs / "pier.py", (2, 2))


def _loop(project: Project) -> None:
    (project.root / "loop").symlink_to("loop")


def _loops_within(project: Project) -> None:
    _more(project)
    (project.docs / "up").symlink_to("..")


def _newer_format(project: Project) -> None:
    with closing(sqlite3.connect(project.tree / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(ARCHIVE_FORMAT + 1),))


def _other_row(project: Project) -> None:
    with closing(sqlite3.connect(project.tree / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE documents SET size = size + 1 WHERE id = 1")


def _behind(project: Project) -> None:
    stamp = project.tree / "lexical" / "stamp.json"
    stamp.write_text(stamp.read_text().replace('"generation": 1', '"generation": 0'))


def _unfinished(project: Project) -> None:
    stamp = project.tree / "lexical" / "stamp.json"
    stamp.write_text(stamp.read_text().replace("true", "false"))


def _no_database(project: Project) -> None:
    file = project.tree / "catalog.sqlite"
    file.write_bytes(b"no" + file.read_bytes()[2:])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _no_counts(project: Project) -> None:
    (project.tree / "access.sqlite").write_bytes(b"this is no database " * 60)


def _ingest_behind_its_back(project: Project) -> None:
    """While this process reads the tree, another one changes it."""
    from mctool.cli import main
    from mctool.tree import Tree

    reader = Tree.open(project.tree)
    before = [reader.text(one.first_block, one.end_block) for one in reader.documents]
    (project.docs / "pier.py").unlink()
    other = Child.start(project, lambda: main(["ingest", "docs", "-q"]), "other").wait()
    assert other.code == 0, other.err
    assert [reader.text(one.first_block, one.end_block) for one in reader.documents] == before
    reader.close()


def _of_segments(name: str, pattern: str, code: int, says: str) -> list[Fault]:
    """Harm to one kind of file of a segment, met by a question and by verify."""
    place = f"segments/000000-*/{pattern}"
    return [
        Fault(f"flipped bit in {name}", ASK, code, says, _flip(place), mended="repaired"),
        Fault(f"flipped bit in {name}", VERIFY, 4, "is damaged in 1 place", _flip(place), mended="repaired"),
        Fault(f"missing {name}", ASK, 4, "cannot read", _delete(place), mended="repaired"),
        Fault(f"missing {name}", VERIFY, 4, "is damaged in 1 place", _delete(place), mended="repaired"),
        Fault(f"truncated {name}", INGEST, 4, "the catalog says", _cut(place), mended="repaired"),
    ]


FAULTS = [
    *(
        Fault(f"disk full: no file above {kb} kB", INGEST, 9, "cannot", _much_more, _small_disk(kb * 1000))
        for kb in (1, 16, 64, 100)
    ),
    Fault("read-only tree", INGEST, 9, "cannot", _read_only, _drop_rights),
    Fault("read-only tree", ASK, 0, "", _read_only, _drop_rights),
    Fault("read-only tree", VERIFY, 0, "", _read_only, _drop_rights),
    Fault("read-only tree", ("verify", "--repair"), 0, "", _read_only, _drop_rights),
    *_of_segments("token ids", "lod0/c/0/0", 0, ""),
    *_of_segments("text", "text/c/0", 4, "cannot read"),
    *_of_segments("byte offsets", "byte_start/c/0", 4, "cannot read"),
    *_of_segments("character offsets", "char_start/c/0", 4, "cannot read"),
    *_of_segments("line offsets", "line_start/c/0", 4, "cannot read"),
    *_of_segments("gists", "lod1/c/0/0", 0, ""),
    *_of_segments("parent gists", "parents-0/lod2/c/0/0", 0, ""),
    *_of_segments("array metadata", "text/zarr.json", 4, "cannot read"),
    Fault("flipped bit in lens keys", ASK, 0, "damaged lens keys", _flip("keys/*/keys/c/0/0"), mended="repaired"),
    Fault("flipped bit in lens keys", VERIFY, 4, "damaged in 1", _flip("keys/*/keys/c/0/0"), mended="repaired"),
    Fault("missing lens keys", ASK, 0, "no lens keys", _delete("keys/*/keys/c/0/0"), mended="repaired"),
    Fault("missing lens keys", VERIFY, 4, "damaged in 1", _delete("keys/*/keys/c/0/0"), mended="repaired"),
    Fault("flipped bit in the lexical index", ASK, 0, "made anew", _flip("lexical/index/*.idx"), mended="repaired"),
    Fault("flipped bit in the lexical index", VERIFY, 4, "in 1 place", _flip("lexical/index/*.idx"), mended="repaired"),
    Fault("flipped bit in the lexical index", INGEST, 0, "", _flip("lexical/index/*.term"), mended="not at all"),
    Fault("missing lexical index", ASK, 0, "made anew", _delete("lexical"), mended="repaired"),
    Fault("missing lexical index", VERIFY, 4, "in 1 place", _delete("lexical"), mended="repaired"),
    Fault("stale lexical index", ASK, 0, "made anew", _behind, mended="not at all"),
    Fault("stale lexical index", VERIFY, 0, "interrupted", _behind, mended="not at all"),
    Fault("unfinished lexical index", INGEST, 0, "", _unfinished, mended="not at all"),
    Fault("damaged access counters", ASK, 0, "access is not counted", _no_counts, mended="repaired"),
    Fault("damaged access counters", VERIFY, 4, "in 1 place", _no_counts, mended="repaired"),
    Fault("changed row in the catalog", VERIFY, 4, "in 1 place", _other_row),
    Fault("no database in the catalog", ASK, 4, "catalog.sqlite is damaged", _no_database),
    Fault("no database in the catalog", INGEST, 4, "catalog.sqlite is damaged", _no_database),
    Fault("empty catalog", ASK, 4, "segments but no catalog", lambda project: _empty(project.tree / "catalog.sqlite")),
    Fault("deleted catalog", ASK, 4, "segments but no catalog", _delete("catalog.sqlite*")),
    Fault("deleted catalog", INGEST, 4, "segments but no catalog", _delete("catalog.sqlite*")),
    Fault("deleted catalog", ("verify", "--repair"), 4, "damaged in 1", _delete("catalog.sqlite*")),
    Fault("newer format", ASK, 5, "pip install -U mctool", _newer_format),
    Fault("newer format", VERIFY, 5, "pip install -U mctool", _newer_format),
    Fault("another writer", INGEST, 7, "another process is writing", _more, _lock),
    Fault("another writer", ASK, 0, "", within=_lock),
    Fault("a writer while reading", ASK, 0, "", within=_ingest_behind_its_back, mended="not at all",
          after=("letters.txt",)),
    Fault("clock going backwards", INGEST, 0, "", _more_from_the_past, _turn_clock_back, "not at all",
          (*DOCUMENTS, *MORE)),
    Fault("symbolic link to itself as a source", ("ingest", "loop", "-q"), 6, "cannot be read", _loop),
    Fault("symbolic link upwards below a source", INGEST, 0, "link to a directory", _loops_within, mended="not at all",
          after=(*DOCUMENTS, *MORE)),
]  # fmt: skip


def meet(fault: Fault, base: Project, root: Path) -> Row:
    """Let a command meet a fault in a copy of a project, then see what is left."""
    from mctool.cli import main

    project = base.copy(root / "harmed")
    fault.harm(project)

    def run() -> int:
        fault.within(project)
        return main(list(fault.command))

    ended = Child.start(project, run).wait()
    if fault.mended == "undone":
        undo(project, base)
    elif fault.mended == "repaired":
        Child.start(project, lambda: main(["verify", "--repair", "-q"])).wait()
    seen: dict[str, Any] = Child.start(project, lambda: look(project.tree)).wait().result
    expected = {name: {**DOCUMENTS, **MORE}[name] for name in fault.after}
    state = seen["state"] or {}
    lost = (
        sum(state.get(name) != text for name, text in expected.items())
        + len(state.keys() - expected)
        + len(seen["wrong"])
    )
    for place in (project.tree, *project.tree.rglob("*")):
        place.chmod(0o755)
    project.remove()
    return _row(fault, ended, lost)


def _row(fault: Fault, ended: Ended, lost: int) -> Row:
    lines = ended.err.splitlines()
    return Row(fault.name, " ".join(("mctool", *fault.command)), ended.code, " ".join(lines), len(lines), lost)


def undo(project: Project, base: Project) -> None:
    """Give a project back what was damaged or taken away in its tree; what a command has left there stays."""
    for place in (project.tree, *project.tree.rglob("*")):
        place.chmod(0o755)
    for file in base.tree.rglob("*"):
        there = project.tree / file.relative_to(base.tree)
        if file.is_file() and not there.name.endswith(("-wal", "-shm")) and file.suffix != ".lock":
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, there)


def meet_all() -> list[Row]:
    """All faults, one after the other."""
    from mctool.cli import main

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)
        base = Project.create(root / "base", write_nets(root / "nets"))
        base.write(DOCUMENTS)
        for command in (INGEST, ASK):
            done = Child.start(base, lambda command=command: main([*command, "-q"])).wait()
            assert done.code == 0, done.err
        return [meet(fault, base, root) for fault in FAULTS]


def main() -> int:
    """Parse the arguments, meet all faults, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = meet_all()
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("fault", "command", "exit", "on stderr", "lost")
    for row in rows:
        table.add_row(row.fault, row.command, str(row.code), row.message, str(row.lost))
    Console().print(table)
    return int(any(row.lost for row in rows))


if __name__ == "__main__":
    sys.exit(main())
