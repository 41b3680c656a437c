import subprocess
import sys

import pytest

import mctool.weights
from mctool.core.errors import MismatchError
from mctool.nets.key_folder import CARD_FILE, FOLDER, find_key_encoder


def put_card(root):
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / CARD_FILE).write_text("{}")
    return root / FOLDER


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Where the package keeps its nets, empty."""
    monkeypatch.setattr(mctool.weights, "__path__", [str(tmp_path / "package")])
    monkeypatch.delenv("MCTOOL_WEIGHTS", raising=False)
    return tmp_path / "package"


def test_the_encoder_of_the_package_is_found(package):
    assert find_key_encoder() is None
    assert put_card(package) == find_key_encoder()


def test_a_directory_of_nets_without_an_encoder_stands_for_a_run_without_one(package, tmp_path, monkeypatch):
    put_card(package)
    named = tmp_path / "named"
    named.mkdir()
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(named))
    assert find_key_encoder() is None
    assert put_card(named) == find_key_encoder()


def test_a_directory_that_is_not_there_is_refused(package, tmp_path, monkeypatch):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(MismatchError, match="no directory"):
        find_key_encoder()


def test_torch_is_left_alone_until_a_key_is_needed():
    imports = "import sys; from mctool.app import key_nets, lenses"
    script = f"{imports}; key_nets.KeyNets.find('cpu'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
