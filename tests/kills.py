"""Kill mctool while it writes, again and again, and see that nothing is lost.

``python tests/kills.py --kills 200`` prints one line at the end, such as
``200 kills: 0 lost, 0 wrong reads, max rework 1 segment``; ``--verbose`` prints one line for each kill.

Every kill is a SIGKILL to a process that runs the program on a copy of a prepared project: at every named step of a
commit first, then at steps by chance (each fsync is one) and at times by chance. Afterwards the tree must open, show
exactly the former or the new state, and be found sound; then the program runs again, must reach the new state, and must
not make a segment again that was sealed.

Segments are small here: 32 blocks, with gists up to LOD2. Processes are forked from this one, which has imported
everything; nothing in the product knows of kills.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mctool.core.blocks

SMALL_SEGMENT = 32
mctool.core.blocks.SEGMENT_BLOCKS = SMALL_SEGMENT  # before anything else reads them
mctool.core.blocks.TOP_LOD = 2

from forked import Child, Project, counted, look, write_nets  # noqa: E402
from tiny_keys import write_tiny_key_encoder  # noqa: E402

SENTENCES = [
    "The {0} of the lighthouse wrote {1} letters before the storm.",
    "def count_{0}(boats):\n    return {1} + len(boats)\n",
    "She asked the captain of the {0} about the {1} boats.",
]
WORDS = ["harbour", "keeper", "ship", "pier", "mate", "lantern", "compass", "ledger"]

State = dict[str, str] | None
"""What a tree says: the text of each document by path; None without a tree."""


def prose(seed: int, n_sentences: int) -> str:
    """Text that is the same for a seed."""
    rng = random.Random(seed)
    lines = (rng.choice(SENTENCES).format(rng.choice(WORDS), rng.randrange(900)) for _ in range(n_sentences))
    return "\n".join(lines) + "\n"


OLD = {"a.txt": prose(1, 70), "b.txt": prose(2, 6), "c.py": prose(3, 30)}
NEW = {"d.txt": prose(4, 90), "e.txt": prose(5, 3)}
QUESTION = "How many letters did the keeper of the lighthouse write?"


@dataclass(frozen=True)
class Scenario:
    """Something that writes to a tree.

    Attributes:
        name: For people.
        arguments: Of the program, run in the project.
        prepare: Makes a project ready for it; gets a project in which ``OLD`` was ingested, or nothing for ``fresh``.
        after: What the tree says when it is done.
        fresh: There is no tree before.
    """

    name: str
    arguments: list[str]
    prepare: Callable[[Project], None]
    after: dict[str, str]
    fresh: bool = False


def _add(project: Project) -> None:
    project.write(NEW)


def _change(project: Project) -> None:
    project.write({"a.txt": prose(6, 60), "b.txt": OLD["b.txt"] + "One more line.\n"})


def _retire(project: Project) -> None:
    (project.docs / "a.txt").unlink()


def _rekey(project: Project) -> None:
    write_tiny_key_encoder(project.weights, seed=1)


def _spoil(project: Project) -> None:
    for pattern in ("segments/*/lod1/c/0/0", "lexical/index/*.idx"):
        for file in project.tree.glob(pattern):
            raw = bytearray(file.read_bytes())
            raw[len(raw) // 2] ^= 1
            file.write_bytes(raw)


def _nothing(_project: Project) -> None:
    """Ready as it is."""


CHANGED = {**OLD, "a.txt": prose(6, 60), "b.txt": OLD["b.txt"] + "One more line.\n"}
SCENARIOS = [
    Scenario("first ingest", ["ingest", "docs"], _nothing, OLD, fresh=True),
    Scenario("more documents", ["ingest", "docs"], _add, {**OLD, **NEW}),
    Scenario("changed documents", ["ingest", "docs"], _change, CHANGED),
    Scenario("retirement", ["ingest", "docs"], _retire, {p: t for p, t in OLD.items() if p != "a.txt"}),
    Scenario("rekey", ["ingest", "--rekey"], _rekey, OLD),
    Scenario("counters", ["ask", QUESTION, "--no-answer", "-q"], _nothing, OLD),
    Scenario("repair", ["verify", "--repair"], _spoil, OLD),
]


class Steps:
    """Wraps the functions of the product, in a child, at which it may be killed; each writes a line to a log first."""

    def __init__(self, log: Path, kill_at: int | None) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._kill_at = kill_at
        self._done = 0

    def install(self) -> None:
        """Wrap them all."""
        from mctool.tree import access, catalog_writer, keys, lexical, repair, segments, tree, writer

        for owner, name in (
            (catalog_writer.CatalogWriter, "commit"), (catalog_writer.CatalogWriter, "replace_segments"),
            (lexical.LexicalWriter, "prepare"), (lexical.LexicalWriter, "finish"),
            (lexical.LexicalWriter, "_remake"), (writer.TreeWriter, "_clean_up"), (tree, "create_catalog"),
            (segments, "write_group"), (segments, "move_into_place"), (keys, "move_into_place"),
            (repair, "write_segment"), (repair, "remove_leftovers"), (writer, "write_segment"),
            (writer, "write_parents"), (writer, "make_keys"), (keys, "make_keys"), (tree, "record_access"),
            (Path, "rename"), (Path, "replace"), (shutil, "rmtree"),
        ):  # fmt: skip
            self._wrap(owner, name, name, before=True, after=True)
        self._wrap(os, "fsync", "sync", before=True)
        self._wrap(writer, "build_leaves", "gists", told=lambda _builder, ids, *_: hash(ids.tobytes()))
        self._wrap(writer, "make_keys", "keys", told=lambda _layout, segment, *_: segment.name)
        self._wrap(keys, "make_keys", "keys", told=lambda _layout, segment, *_: segment.name)
        recorded = tree.record_access

        def record(layout: Any, *nodes: Any) -> bool:
            kept: bool = recorded(layout, *nodes)
            self._write(f"counted {counted(access.read_access_counts(layout))}")
            return kept

        tree.record_access = record

    def _wrap(
        self, owner: Any, name: str, called: str, before: bool = False, after: bool = False,
        told: Callable[..., object] | None = None,
    ) -> None:  # fmt: skip
        function = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if told is not None:
                self._write(f"begun {called} {told(*arguments)}")
            if before:
                self._step(f"before {called}")
            result = function(*arguments, **named)
            if after:
                self._step(f"after {called}")
            return result

        setattr(owner, name, call)

    def _step(self, name: str) -> None:
        self._write(f"step {name}")
        if self._done == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._done += 1

    def _write(self, line: str) -> None:
        os.write(self._log, f"{line}\n".encode())


@dataclass
class Tally:
    """What came of all kills."""

    kills: int = 0
    lost: int = 0
    wrong_reads: int = 0
    max_rework: int = 0
    told: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The line that is printed."""
        return (
            f"{self.kills} kills: {self.lost} lost, {self.wrong_reads} wrong reads, "
            f"max rework {self.max_rework} segment{'s' * (self.max_rework != 1)}"
        )


class Range:
    """Where the kills happen: a prepared project for each scenario, with the steps of an undisturbed run."""

    def __init__(self, root: Path, seed: int, verbose: bool) -> None:
        self._root = root
        self._rng = random.Random(seed)
        self._verbose = verbose
        self._nets = write_nets(root / "nets")
        self.tally = Tally()
        base = Project.create(root / "base", self._nets)
        base.write(OLD)
        fresh = base.copy(root / "fresh")
        self._run(base, ["ingest", "docs"])
        self._ready: dict[str, tuple[Project, list[str], float]] = {}
        for scenario in SCENARIOS:
            project = (fresh if scenario.fresh else base).copy(root / f"ready {scenario.name}")
            scenario.prepare(project)
            done = project.copy(root / "undisturbed")
            start = time.perf_counter()
            log = self._run(done, scenario.arguments)
            seconds = time.perf_counter() - start
            seen = self._look(done)
            if (seen["state"], seen["wrong"]) != (scenario.after, []):
                raise SystemExit(f"{scenario.name} does not work undisturbed: {seen['wrong']}")
            done.remove()
            self._ready[scenario.name] = project, log, seconds

    def run(self, n_kills: int) -> None:
        """Kill so many times, the scenarios in turn."""
        plans = {scenario.name: self._plan(scenario) for scenario in SCENARIOS}
        while self.tally.kills < n_kills:
            for scenario in SCENARIOS:
                if self.tally.kills < n_kills:
                    self._kill(scenario, next(plans[scenario.name]))

    def _plan(self, scenario: Scenario) -> Any:
        """Steps to kill at, first each name once, then any; in between, None for a time by chance."""
        _, log, _ = self._ready[scenario.name]
        steps = [line for line in log if line.startswith("step")]
        first = [steps.index(name) for name in dict.fromkeys(steps)]
        self._rng.shuffle(first)
        yield from first
        while True:
            yield self._rng.randrange(len(steps))
            yield None

    def _kill(self, scenario: Scenario, step: int | None) -> None:
        ready, _, seconds = self._ready[scenario.name]
        project = ready.copy(self._root / "killed")
        log_file = project.root / "log"
        child = Child.start(project, lambda: self._main(scenario.arguments, log_file, step))
        if step is None:
            time.sleep(self._rng.random() * seconds)
            child.kill()
        killed = child.wait().signal == signal.SIGKILL
        log = read_log(log_file)
        if killed:
            at = next((line for line in reversed(log) if line.startswith("step")), "the beginning")
            self.tally.kills += 1
            self._judge(scenario, project, log, f"{scenario.name}, {'some time after ' * (step is None)}{at}")
        project.remove()

    def _judge(self, scenario: Scenario, project: Project, log: list[str], where: str) -> None:
        _, undisturbed, _ = self._ready[scenario.name]
        former = [None, {}] if scenario.fresh else [OLD]  # an empty tree is none, too
        seen = self._look(project)
        faults = []
        if seen["state"] not in (*former, scenario.after):
            faults.append("lost: neither the former nor the new state")
            self.tally.lost += 1
        wrong = [] if scenario.name == "repair" else seen["wrong"]
        counts = {0, *(int(line.split()[1]) for line in undisturbed if line.startswith("counted"))}
        if scenario.name == "counters" and seen["counted"] not in counts:
            wrong.append(f"{seen['counted']} counted, not one of {sorted(counts)}")
        again = self._run(project, scenario.arguments)
        begun = [{line for line in lines if line.startswith("begun")} for lines in (log, again)]
        rework = max(
            sum(line.startswith(f"begun {what}") for line in begun[0] & begun[1]) for what in ("gists", "keys")
        )
        self.tally.max_rework = max(self.tally.max_rework, rework)
        seen = self._look(project)
        if seen["state"] != scenario.after:
            faults.append("lost: the next run did not reach the new state")
            self.tally.lost += 1
        wrong += seen["wrong"] + (seen["notes"] if scenario.name not in ("counters", "rekey") else [])
        if rework > 1:
            faults.append(f"{rework} segments made again")
        self.tally.wrong_reads += bool(wrong)
        if faults or wrong:
            self.tally.told.append(f"{where}: {'; '.join(faults + wrong)}")
        if self._verbose:
            print(f"{where}: {'; '.join(faults + wrong) or 'fine'}, rework {rework}", flush=True)

    def _run(self, project: Project, arguments: list[str]) -> list[str]:
        log = project.root / "log of a whole run"
        log.unlink(missing_ok=True)
        done = Child.start(project, lambda: self._main(arguments, log, None)).wait()
        if done.code != 0:
            raise SystemExit(f"{arguments} failed: {done.err}")
        return read_log(log)

    @staticmethod
    def _main(arguments: list[str], log: Path, kill_at: int | None) -> int:
        from mctool.cli import main

        Steps(log, kill_at).install()
        return main(arguments)

    @staticmethod
    def _look(project: Project) -> dict[str, Any]:
        return Child.start(project, lambda: look(project.tree)).wait().result


def read_log(log: Path) -> list[str]:
    """The lines that a child wrote; none when it did not come to that."""
    return log.read_text().splitlines() if log.exists() else []


def main() -> int:
    """Parse the arguments, kill, and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        kills = Range(Path(root), options.seed, options.verbose)
        kills.run(options.kills)
    for line in kills.tally.told:
        print(line, file=sys.stderr)
    print(kills.tally)
    return int(bool(kills.tally.told))


if __name__ == "__main__":
    sys.exit(main())
