"""Runs of the program in forked processes, which may be killed, starved or kept from writing.

This process imports everything once and starts no threads, so that forking is safe and a run costs no start of Python.
It is for scripts that are processes of their own; pytest runs those.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # threads of torch in this process would leave its children waiting for ever

from tiny_keys import write_tiny_key_encoder
from tiny_model import write_tiny_gistnet, write_tiny_model


def write_nets(root: Path) -> Path:
    """A tiny model, its GistNet and a key encoder; also imports all that a run needs."""
    import mctool.app.ask
    import mctool.app.ingest
    import mctool.app.verify
    import mctool.cli
    import mctool.engine.gisting
    import mctool.nets.base_model
    import mctool.nets.key_weights
    import mctool.nets.weights  # noqa: F401

    (root / "weights").mkdir(parents=True)
    write_tiny_model(root / "tiny-llama")
    write_tiny_gistnet(root / "weights", root / "tiny-llama")
    write_tiny_key_encoder(root / "weights")
    return root


@dataclass(frozen=True)
class Project:
    """A working directory with documents in ``docs``, a tree, and nets of its own."""

    root: Path
    model: Path

    @classmethod
    def create(cls, root: Path, nets: Path) -> "Project":
        """An empty one."""
        (root / "docs").mkdir(parents=True)
        shutil.copytree(nets / "weights", root / "weights")
        return cls(root, nets / "tiny-llama")

    @property
    def docs(self) -> Path:
        """Its documents."""
        return self.root / "docs"

    @property
    def weights(self) -> Path:
        """Its nets."""
        return self.root / "weights"

    @property
    def tree(self) -> Path:
        """Its tree."""
        return self.root / ".mctool"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its runs."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MCTOOL_")}
        return kept | {
            "MCTOOL_MODEL": str(self.model),
            "MCTOOL_WEIGHTS": str(self.weights),
            "MCTOOL_DEVICE": "cpu",
            "XDG_CONFIG_HOME": str(self.root / "config"),
        }

    def write(self, documents: dict[str, str]) -> None:
        """Write documents."""
        for name, text in documents.items():
            (self.docs / name).write_text(text)

    def copy(self, root: Path) -> "Project":
        """The same, elsewhere; file times are kept."""
        shutil.copytree(self.root, root, symlinks=True)
        return replace(self, root=root)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.root)


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code or signal, what it wrote, and what its function returned, if that is no code."""

    code: int
    signal: int
    out: str
    err: str
    result: Any


class Child:
    """A forked process that runs a function in a project."""

    def __init__(self, pid: int, place: Path) -> None:
        self._pid = pid
        self._place = place

    @classmethod
    def start(cls, project: Project, function: Callable[[], Any], name: str = "child") -> "Child":
        """Fork. A number that the function returns is the exit code; anything else is passed on as JSON."""
        place = project.root / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return cls(pid, place)
        code = 99
        try:
            os.chdir(project.root)
            os.environ.clear()
            os.environ.update(project.environment)
            for descriptor, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT), descriptor)
            result = function()
            if isinstance(result, int):
                code = result
            else:
                (place / "result").write_text(json.dumps(result))
                code = 0
        except BaseException:  # noqa: BLE001  (nothing may get back into the code of the parent)
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> Ended:
        """Wait for its end."""
        _, status = os.waitpid(self._pid, 0)
        out, err, result = (
            (self._place / name).read_text(errors="replace") if (self._place / name).exists() else ""
            for name in ("out", "err", "result")
        )
        shutil.rmtree(self._place, ignore_errors=True)
        ended = Ended(
            os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            out,
            err,
            json.loads(result) if result else None,
        )
        if ended.code == 99:
            raise SystemExit(ended.err)
        return ended


def counted(counts: list[Any]) -> int:
    """All access counts together."""
    return sum(count.expanded + count.collapsed + count.cited for count in counts)


def look(tree: Path) -> dict[str, Any]:
    """What a tree says, as a child sees it: its state, what is wrong, and the access that was counted."""
    import numpy as np

    from mctool.app.verify import verify
    from mctool.core.errors import TreeDamagedError, TreeNotFoundError
    from mctool.nets.model_store import resolve_model
    from mctool.nets.tokenizer import TextTokenizer
    from mctool.tree import LexicalIndex, Tree

    try:
        opened = Tree.open(tree)
    except TreeNotFoundError:
        return {"state": None, "wrong": [], "counted": 0, "notes": []}
    tokenizer = TextTokenizer.load(resolve_model(os.environ["MCTOOL_MODEL"]))
    wrong, state = [], {}
    with opened:
        for document in opened.documents:
            text = opened.text(document.first_block, document.end_block)
            state[document.path.removeprefix("docs/")] = text
            ids, n_tokens = opened.tokens(np.arange(document.first_block, document.end_block))
            expected = tokenizer.encode_with_offsets(text)[0]
            if ids.reshape(-1)[: n_tokens.sum()].tolist() != expected.tolist():
                wrong.append(f"token ids of {document.path}")
            for lod in (1, 2):
                span = 32 ** (lod - 1)
                with suppress(TreeDamagedError):  # which verify tells
                    opened.gists(lod, np.arange(document.first_block // span, (document.end_block - 1) // span + 1))
        blocks = {int(block) for hits in LexicalIndex.open(opened).hits("captain") for block in hits.blocks}
        if sum("captain" in text for text in state.values()) and not blocks:
            wrong.append("lexical index")
        total = counted(opened.access_counts())
    report = verify(tree)
    wrong += [f"{damage.where}: {damage.what}" for damage in report.damage]
    return {"state": state, "wrong": wrong, "counted": total, "notes": report.notes}
