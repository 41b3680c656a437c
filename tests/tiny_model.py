"""A tiny random Llama with a byte-level BPE tokenizer, and an untrained GistNet for it; the same in every run."""

import json
from pathlib import Path

TRAINING_LINES = [
    "The lighthouse keeper wrote 1874 letters before the storm of March took the old pier away.",
    "def read_lines(path):\n    with open(path) as file:\n        return [line.rstrip() for line in file]\n",
    "Grüße aus Köln: naïve café façades, 東京の夜, Ελληνικά и кириллица 🙂🙂.",
    "    indented = {'key': 12345, 'other': [1, 2, 3]}\n\n\treturn indented  # two spaces",
    "Every morning the harbour master counted boats, checked their papers and noted weather, wind and tide.",
    "class Harbour(Place):\n    def __init__(self, name: str, boats: int = 0) -> None:\n        self.name = name\n",
    "She asked the captain where the ship had gone, and the captain said that the ship had gone north.",
]


def write_tiny_model(directory: Path) -> None:
    """Write the model, in the Hugging Face form, to a directory that is not there yet."""
    from mctool.nets.startup import gc_paused

    with gc_paused():
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import LlamaConfig, LlamaForCausalLM

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


def write_tiny_gistnet(root: Path, model: Path) -> None:
    """Write the GistNet of the tiny model below a root of nets."""
    from mctool.nets.gistnet import GistNetConfig
    from mctool.nets.model_store import ModelFiles
    from mctool.nets.tokenizer import TextTokenizer
    from mctool.nets.weights import CARD_FILE, GistNetCard

    fingerprint = TextTokenizer.load(ModelFiles(model.name, model)).fingerprint
    config = GistNetConfig(width=32, head_width=16)
    card = GistNetCard(model.name, fingerprint, base_width=64, n_special=3, config=config)
    folder = root / model.name
    folder.mkdir()
    (folder / CARD_FILE).write_text(json.dumps(card.to_json()))
