"""Fixtures that tests of several floors share."""

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TRAINING_LINES = [
    "The lighthouse keeper wrote 1874 letters before the storm of March took the old pier away.",
    "def read_lines(path):\n    with open(path) as file:\n        return [line.rstrip() for line in file]\n",
    "Grüße aus Köln: naïve café façades, 東京の夜, Ελληνικά и кириллица 🙂🙂.",
    "    indented = {'key': 12345, 'other': [1, 2, 3]}\n\n\treturn indented  # two spaces",
    "Every morning the harbour master counted boats, checked their papers and noted weather, wind and tide.",
    "class Harbour(Place):\n    def __init__(self, name: str, boats: int = 0) -> None:\n        self.name = name\n",
    "She asked the captain where the ship had gone, and the captain said that the ship had gone north.",
]


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face directory with a random tiny Llama and a byte-level BPE tokenizer; the same in every run."""
    from mctool.nets.startup import gc_paused

    with gc_paused():
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("models") / "tiny-llama"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING_LINES * 3, trainer)

    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
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
    from mctool.nets.gistnet import GistNetConfig
    from mctool.nets.model_store import ModelFiles
    from mctool.nets.tokenizer import TextTokenizer
    from mctool.nets.weights import CARD_FILE, GistNetCard

    fingerprint = TextTokenizer.load(ModelFiles(tiny_model_dir.name, tiny_model_dir)).fingerprint
    config = GistNetConfig(width=32, head_width=16)
    card = GistNetCard(tiny_model_dir.name, fingerprint, base_width=64, n_special=3, config=config)
    root = tmp_path_factory.mktemp("weights")
    folder = root / tiny_model_dir.name
    folder.mkdir()
    (folder / CARD_FILE).write_text(json.dumps(card.to_json()))
    return root
