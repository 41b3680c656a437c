import json
import math
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path, PurePath

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_adapter import tiny_card, write_tiny_adapter

from mctool.core.errors import MismatchError
from mctool.nets.adapter_card import AdapterCard, base_fingerprint, find_adapter, read_adapter, write_adapter_card
from mctool.nets.model_store import ModelFiles


@pytest.fixture
def folder(tmp_path, tiny_model_dir, monkeypatch):
    """An adapter that is found for the tiny model."""
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))
    return write_tiny_adapter(tmp_path, tiny_model_dir)


@pytest.fixture
def files(tiny_model_dir):
    return ModelFiles(tiny_model_dir.name, tiny_model_dir)


def test_an_adapter_is_found_by_the_name_of_its_model(folder, files, tiny_model_dir):
    found = find_adapter(files.name)
    assert (found.folder, found.card) == (folder, tiny_card(tiny_model_dir))
    found.require(files, found.card.tokenizer_sha256)
    assert find_adapter("org/unheard-of") is None


def test_a_card_comes_back_as_it_was_written(folder):
    card = AdapterCard("org/m", "ab", None, 8, 9000, {"short": -0.5, "long": 2.0, "code": 1.0}, {"f1": 0.5})
    write_adapter_card(folder, card)
    assert read_adapter(folder).card == card
    assert not list(folder.glob("*.part"))


def test_the_fingerprint_names_the_weights_and_not_the_card(folder, tiny_model_dir):
    first = read_adapter(folder).fingerprint
    write_adapter_card(folder, tiny_card(tiny_model_dir, short=0.0))
    assert read_adapter(folder).fingerprint == first
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 9}))
    assert read_adapter(folder).fingerprint != first


def test_silence_above_the_threshold_of_the_style_refuses(tiny_model_dir):
    card = tiny_card(tiny_model_dir, short=-1.0, long=2.0)
    assert [card.support_odds(odds, "short") >= 0 for odds in (-2.0, -1.0, -0.5)] == [True, True, False]
    assert [card.support_odds(odds, "long") >= 0 for odds in (-0.5, 2.0, 2.5)] == [True, True, False]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "card.json cannot be read"),
        ("[]", "not a JSON object"),
        ('{"model": "m"}', "missing"),
        ({"colour": "red"}, "colour"),
        ({"silence": {"short": 0.0}}, "silence"),
        ({"silence": {"short": 0.0, "long": math.nan, "code": 0.0}}, "silence"),
        ({"silence": {"short": 0.0, "long": "much", "code": 0.0}}, "card.json cannot be read"),
        ({"silence": None}, "card.json cannot be read"),
        ({"rank": 0}, "rank 0"),
        ({"trained_questions": -1}, "trained_questions -1"),
    ],
)
def test_a_damaged_card_is_refused(folder, tiny_model_dir, content, says):
    if isinstance(content, dict):
        content = json.dumps(tiny_card(tiny_model_dir).to_json() | content)
    (folder / "card.json").write_text(content)
    with pytest.raises(MismatchError, match=says):
        read_adapter(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(folder, files, name):
    (folder / name).unlink()
    with pytest.raises(MismatchError, match=f"{name} cannot be read"):
        find_adapter(files.name)


def test_an_adapter_of_another_model_is_refused(folder, files, tiny_model_dir):
    with pytest.raises(MismatchError, match="tokenizer") as caught:
        read_adapter(folder).require(files, "cd" * 32)
    assert "--no-lora" in caught.value.fix
    card = replace(tiny_card(tiny_model_dir), base_sha256="cd" * 32)
    write_adapter_card(folder, card)
    with pytest.raises(MismatchError, match="a base model with weights cdcdcdcdcdcd"):
        read_adapter(folder).require(files, card.tokenizer_sha256)
    write_adapter_card(folder, replace(card, base_sha256=None))
    read_adapter(folder).require(files, card.tokenizer_sha256)


def test_models_with_other_vectors_have_other_fingerprints(files, tmp_path):
    copy = ModelFiles("copy", shutil.copytree(files.directory, tmp_path / "copy"))
    assert base_fingerprint(copy) == base_fingerprint(files)
    tensors = load_file(copy.directory / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1e-3
    save_file(tensors, copy.directory / "model.safetensors")
    assert base_fingerprint(copy) != base_fingerprint(files)


def test_the_fingerprint_of_a_model_in_several_files_does_not_depend_on_the_files(files, tmp_path):
    tensors = load_file(files.directory / "model.safetensors")
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in part}, tmp_path / f"part-{number}.safetensors")
    assert base_fingerprint(ModelFiles("parts", tmp_path)) == base_fingerprint(files)


@pytest.mark.parametrize("change", [lambda b: b[:4], lambda b: b[: len(b) // 2], lambda b: b"\xff" * 8 + b[8:]])
def test_broken_weights_are_named(files, tmp_path, change):
    save_file({"w": torch.zeros(2, 2), "z": torch.ones(500)}, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(change(whole))
    with pytest.raises(MismatchError, match="not a complete safetensors file"):
        base_fingerprint(ModelFiles("broken", tmp_path))


def test_looking_for_an_adapter_does_not_import_torch(folder, files):
    code = (
        "import sys; from mctool.nets.adapter_card import find_adapter; "
        f"assert find_adapter({files.name!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_adapters_travel_with_the_package():
    root = Path(__file__).parents[3]
    globs = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["mctool.weights"]
    for name in ("card.json", "adapter_config.json", "adapter_model.safetensors"):
        assert any(PurePath(f"model/lora/{name}").match(glob) for glob in globs)
