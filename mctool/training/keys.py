"""Training the key encoder: a teacher learns where answers are, a smaller student learns to be like it.

The teacher starts from MiniLM and is trained by contrast: a question's vector should fit the keys of the blocks that
answer it, among those of the other windows of the batch and of windows that mislead. The student starts from some
layers of the teacher; it imitates the teacher's keys and ranking, and the contrast is kept on. The rate warms up and
then falls to zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from mctool.core.errors import MismatchError
from mctool.nets.device import choose_device
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.key_folder import FOLDER
from mctool.nets.key_net import KeyNet
from mctool.nets.key_pieces import QUESTION_MARK, TEXT_MARK, WordPieces, piece_id
from mctool.nets.key_weights import KeyEncoderCard, load_key_encoder, write_key_encoder
from mctool.sources.corpus import Encode, Sample, in_dev_split, read_sets
from mctool.training.keys_data import KeyCorpus
from mctool.training.keys_loop import KeyStage, KeyTrainer, KeyTraining, Metrics
from mctool.training.keys_measure import key_recall

METRICS_FILE = "metrics.jsonl"
ORIGIN = "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), trained further on located questions"
TREE_TOKENS = 140_000
DEV_QUESTIONS = 240


def train_keys(
    config: KeyTraining,
    data: Sequence[Path],
    encode: Encode,
    minilm: Path,
    out: Path,
    device: str = "auto",
    report: Callable[[Metrics], None] = lambda _metrics: None,
) -> KeyEncoderCard:
    """Train a key encoder and measure it on the records that are kept for that.

    Args:
        config: How.
        data: Data files with located questions, and files of any text to read besides.
        encode: The tokenizer that blocks are counted by.
        minilm: Directory of MiniLM-L6 in its Hugging Face form.
        out: Directory for the encoder (in ``lens``, also as it stands every few minutes), that of the teacher (in
            ``teacher/lens``) and the metrics.
        device: As given to ``--device``.
        report: Takes the metrics of each step, and the recall at the end.

    Returns:
        The card of the encoder, with its recall by set and tokens.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: There is no question with a place to train on.
        MismatchError: ``minilm`` holds no such model.
        MissingBackendError: A file is compressed and zstandard is not installed, or there is no such device.
    """
    place = choose_device(device)
    tokenizer = read_word_pieces(minilm / "tokenizer.json")
    sets = read_sets(data)
    corpus = KeyCorpus(sets, encode)
    same_as = piece_id(tokenizer, QUESTION_MARK), piece_id(tokenizer, TEXT_MARK)
    net = KeyNet.from_bert(minilm, range(config.teacher_layers), same_as).to(place)
    out.mkdir(parents=True, exist_ok=True)
    with (out / METRICS_FILE).open("a", encoding="utf-8") as metrics:

        def note(line: Metrics) -> None:
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
            report(line)

        def train(net: KeyNet, stage: KeyStage, folder: Path, teacher: KeyNet | None = None) -> None:
            def save(net: KeyNet) -> None:
                write_key_encoder(folder, net, tokenizer, KeyEncoderCard(net.config, origin=ORIGIN))

            trainer.train(net, stage, teacher, save)
            save(net)

        trainer = KeyTrainer(config, WordPieces(tokenizer, net.config.positions), corpus, note)
        if config.student is None:
            train(net, config.teacher, out / FOLDER)
        else:
            train(net, config.teacher, out / "teacher" / FOLDER)
            teacher, net = net, net.with_layers(config.layers)
            train(net, config.student, out / FOLDER, teacher)
        figures = dev_figures(load_key_encoder(out / FOLDER, place), sets, encode)
        note({"dev": figures})
    card = KeyEncoderCard(net.config, figures, ORIGIN)
    write_key_encoder(out / FOLDER, net, tokenizer, card)
    return card


def dev_figures(encoder: KeyEncoder, sets: dict[str, list[Sample]], encode: Encode) -> dict[str, float]:
    """Recall of keys alone on the records that are kept for measuring, by set and tokens."""
    figures = {}
    for name, samples in sets.items():
        kept = [sample for sample in samples if in_dev_split(sample)]
        recall = key_recall(encoder, kept, encode, TREE_TOKENS, DEV_QUESTIONS)
        figures.update({f"{name} recall@{budget}": round(value, 4) for budget, value in recall.items()})
    return figures


def read_word_pieces(path: Path) -> Tokenizer:
    """A tokenizer of word pieces that adds, pads and truncates nothing.

    Raises:
        MismatchError: The file is not a tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MismatchError(f"{path} is not a tokenizer: {error}", "get the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
