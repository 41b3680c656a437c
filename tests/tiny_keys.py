"""A key encoder for tests: keys are about sums of random word vectors, equal ones for words that mean the same."""

from pathlib import Path

SAME = {"vessel": "ship", "captain": "skipper"}
"""Words that the encoder takes for the same as others."""

WORDS = [
    "the",
    "of",
    "a",
    "in",
    "is",
    "was",
    "ship",
    "skipper",
    "harbour",
    "storm",
    "letter",
    "lighthouse",
    "dagger",
    "room",
]


def write_tiny_key_encoder(root: Path, seed: int = 0) -> Path:
    """Write a key encoder below a root of nets; returns its folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    from mctool.nets.key_net import KeyNet, KeyNetConfig
    from mctool.nets.key_weights import KeyEncoderCard, write_key_encoder

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]"])}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    for word in [*WORDS, *SAME, *letters, *(f"##{letter}" for letter in letters)]:
        vocabulary[word] = vocabulary.get(word, len(vocabulary))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    config = KeyNetConfig(layers=1, width=32, heads=2, mlp=32, vocabulary=len(vocabulary), positions=128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = KeyNet(config)
        torch.nn.init.normal_(net.pieces.weight)
    with torch.no_grad():
        for layer in net.layers:
            for part in (layer.attended, layer.down):
                part.weight.zero_()
        for word, other in SAME.items():
            net.pieces.weight[vocabulary[word]] = net.pieces.weight[vocabulary[other]]
    folder = root / "lens"
    write_key_encoder(folder, net, tokenizer, KeyEncoderCard(config))
    return folder


def write_tiny_scorer(root: Path, encoder: str | None = None) -> None:
    """Write an untrained LensNet beside the key encoder below a root of nets, or one that claims to be of another."""
    from mctool.focus.entry_features import NAMES
    from mctool.nets.key_weights import load_key_encoder
    from mctool.nets.lens_net import LensNet, LensNetConfig
    from mctool.nets.lens_weights import LensNetCard, write_lens_net

    folder = root / "lens"
    config = LensNetConfig(len(NAMES), width=8, heads=2)
    card = LensNetCard(config, NAMES, encoder or load_key_encoder(folder).fingerprint, candidates=64)
    write_lens_net(folder, LensNet(config), card)


def write_tiny_reranker(root: Path, encoder: str | None = None) -> None:
    """Write an untrained reranker beside the key encoder below a root of nets, or one that claims to be of another."""
    from mctool.nets.key_weights import load_key_net
    from mctool.nets.reranker import RerankerConfig, RerankerNet
    from mctool.nets.reranker_weights import RerankerCard, write_reranker

    folder, config = root / "lens", RerankerConfig(layers=1, rank=2, text_pieces=64)
    key_net, _, fingerprint = load_key_net(folder)
    write_reranker(folder, RerankerNet(key_net, config), RerankerCard(config, encoder or fingerprint))
