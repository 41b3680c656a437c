"""Fixtures that tests of several floors share."""

import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_model import write_tiny_gistnet, write_tiny_model

# Who starts tests in the background may have them ignore Ctrl-C, and the programs that they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face directory with a random tiny Llama and a byte-level BPE tokenizer; the same in every run."""
    directory = tmp_path_factory.mktemp("models") / "tiny-llama"
    write_tiny_model(directory)
    return directory


@dataclass(frozen=True)
class Finished:
    """How one call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Call the program in this process: ``run_cli("ingest", path, stdin=b"...")``."""

    def run(*arguments: object, stdin: bytes | None = None) -> Finished:
        from mctool.cli import main

        if stdin is not None:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run


@pytest.fixture
def project(tmp_path: Path, tiny_model_dir: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory in which the tiny model is the default and has a GistNet."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    for name in [name for name in os.environ if name.startswith("MCTOOL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MCTOOL_MODEL", str(tiny_model_dir))
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
    monkeypatch.setenv("MCTOOL_DEVICE", "cpu")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    return directory


@pytest.fixture(scope="session")
def tiny_weights(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of nets that holds an untrained GistNet for the tiny model."""
    root = tmp_path_factory.mktemp("weights")
    write_tiny_gistnet(root, tiny_model_dir)
    return root
