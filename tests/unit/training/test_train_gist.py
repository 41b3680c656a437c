import json

import numpy as np
import pytest
import torch

from mctool.core.errors import MismatchError, UsageError
from mctool.nets.base_model import BaseModel
from mctool.nets.checkpoint import load_embedding_table
from mctool.nets.gistnet import GistNet, GistNetConfig
from mctool.training.gist_loop import GistStage, GistTrainer, GistTraining
from mctool.training.gist_loss import NORM_CEILING, Vocabulary, bag_loss, norm_loss
from mctool.training.gist_reader import GistReader, GistWindows, _recalled, tail_nll
from mctool.training.gist_texts import GistTexts, read_texts, write_texts
from mctool.training.metrics import METRICS_FILE

SMALL = GistNetConfig(width=64, head_width=32)
KINDS = ("content", "repeat", "states", "reading", "teacher")


def texts(seed=0, n_tokens=2600):
    """Text in which the first token of a block comes again and again in it, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(3):
        ids = rng.integers(5, 500, n_tokens)
        ids[ids % 3 == 0] = ids[(np.arange(n_tokens) // 32 * 32)[ids % 3 == 0]]
        documents.append(ids.astype(np.uint32))
    return GistTexts({"code": documents[:2], "narrative": documents[2:]})


def untrained(files):
    return GistNet.for_embeddings(load_embedding_table(files), SMALL)


def trainer(files, out, *stages, **settings):
    defaults = {
        "runs": 1,
        "windows": 2,
        "nodes": (2,),
        "lod2_nodes": (1,),
        "horizon": 8,
        "layers": 1,
        "measure_minutes": 60.0,
    }
    training = GistTraining(stages, **{**defaults, **settings})
    return GistTrainer(files, untrained(files), training, texts(), texts(1), out, "cpu")


def test_content_is_learnt(tiny_files, tmp_path):
    run = trainer(tiny_files, tmp_path, GistStage("content", steps=40, learning_rate=3e-3), runs=2)
    run.run()
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    bags = [line["bag"] for line in lines if "bag" in line]
    assert len(bags) == 40
    assert np.mean(bags[-5:]) < 0.8 * np.mean(bags[:5])
    assert run.tokens == 40 * 2 * 1024
    assert [point["tokens"] for point in run.curve] == [0, run.tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_of_the_nets_learns_and_the_base_does_not(tiny_files, tmp_path, kind):
    run = trainer(tiny_files, tmp_path, GistStage(kind, steps=6), lod2_share=0.5)
    base = {name: weight.clone() for name, weight in run._reader._model.named_parameters()}
    before = {name: weight.detach().clone() for name, weight in run._trained().items()}
    run.run()
    still = {name for name, weight in run._trained().items() if torch.equal(weight, before[name])}
    if kind != "content":  # the head of the second level is taught there
        still.discard("degist.levels.weight")
    assert not {name for name in still if "levels" not in name}
    assert all(torch.equal(weight, base[name]) for name, weight in run._reader._model.named_parameters())


def test_a_frozen_gistnet_stays_as_it_is(tiny_files, tmp_path):
    run = trainer(tiny_files, tmp_path, GistStage("degist", steps=4, learning_rate=3e-3))
    before = {name: weight.clone() for name, weight in run.net.state_dict().items()}
    taken_apart = run.degist.out.weight.detach().clone()
    run.run()
    assert all(torch.equal(weight, before[name]) for name, weight in run.net.state_dict().items())
    assert not torch.equal(run.degist.out.weight, taken_apart)


def test_a_resumed_run_ends_as_one_that_was_not_stopped(tiny_files, tmp_path, monkeypatch):
    stages = (GistStage("content", steps=3), GistStage("reading", steps=4))
    whole = trainer(tiny_files, tmp_path / "whole", *stages)
    whole.run()
    stopped = trainer(tiny_files, tmp_path / "parts", *stages)
    step = stopped._step

    def stop_at_five():
        if stopped._progress.step == 5:
            stopped.save()
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(stopped, "_step", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = trainer(tiny_files, tmp_path / "parts", *stages)
    resumed.resume()
    resumed.run()
    assert resumed.tokens == whole.tokens
    assert all(torch.equal(weight, resumed._trained()[name]) for name, weight in whole._trained().items())


def test_a_run_is_resumed_with_its_settings_only(tiny_files, tmp_path):
    trainer(tiny_files, tmp_path, GistStage("content", steps=1)).run()
    with pytest.raises(MismatchError, match="another horizon"):
        trainer(tiny_files, tmp_path, GistStage("content", steps=1), horizon=9).resume()
    with pytest.raises(MismatchError, match="no checkpoint"):
        trainer(tiny_files, tmp_path / "none", GistStage("content", steps=1)).resume()


@pytest.mark.parametrize("settings", [{"kind": "poem", "steps": 1}, {"kind": "content"}])
def test_stages_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError):
        GistStage(**settings)


def test_the_reader_reads_windows_as_the_base_model_does(tiny_files):
    reader = GistReader(tiny_files, torch.device("cpu"), torch.float32, 1)
    ids = torch.from_numpy(texts().draw(2, 1 + 64 + 9, np.random.default_rng(0)))
    windows = GistWindows(ids, lod=1, n_nodes=2)
    nodes = torch.randn(2, 2, reader.table.shape[1], generator=torch.Generator().manual_seed(0)) * 0.1
    embeddings, positions = reader.window(windows, nodes)
    assert positions.tolist()[:3] == [0, 16, 48]  # the sink, and gists in the middle of their blocks
    assert positions.tolist()[3:] == list(range(65, 73))
    model = BaseModel.load(tiny_files, "cpu", "float32")
    expected = -model.log_likelihood(embeddings[0, :4], positions[:4].numpy(), ids[0, 66:].tolist()).mean()
    assert float(tail_nll(reader, windows, nodes)[0]) == pytest.approx(float(expected), abs=1e-4)


def test_windows_that_repeat_end_with_the_last_block_again():
    ids = torch.arange(1 + 64 + 5)[None]
    repeating = GistWindows(ids, lod=1, n_nodes=2).repeating(4)
    assert repeating.ids[0, 65:].tolist() == [33, 34, 35, 36]
    assert repeating.targets[0].tolist() == [34, 35, 36]


def test_a_bag_is_cheapest_where_the_gist_points_at_its_tokens():
    table = torch.eye(8)
    vocabulary = Vocabulary(table, torch.full((8,), -2.0))
    ids = torch.tensor([[0, 0, 1], [2, 3, 3]])
    right = torch.stack([table[[0, 1]].mean(0), table[[2, 3]].mean(0)])
    sharp = torch.tensor(10.0)
    assert bag_loss(right, ids, vocabulary, sharp) < bag_loss(right.flip(0), ids, vocabulary, sharp)


def test_gists_may_not_be_too_long():
    assert float(norm_loss(torch.tensor([[NORM_CEILING, 0.0]]), torch.tensor(1.0))) == 0
    assert float(norm_loss(torch.tensor([[NORM_CEILING + 1, 0.0]]), torch.tensor(1.0))) == pytest.approx(1)


def test_texts_are_drawn_from_documents_and_kept(tmp_path):
    made = texts()
    runs = made.draw(50, 40, np.random.default_rng(0))
    flat = {domain: [ids.tolist() for ids in made.documents(domain)] for domain in made.domains}
    windows = {tuple(ids[i : i + 40]) for documents in flat.values() for ids in documents for i in range(len(ids) - 39)}
    assert {tuple(run) for run in runs.tolist()} <= windows
    write_texts(tmp_path, made, {"data": ["a"]})
    kept = read_texts(tmp_path, {"data": ["a"]})
    assert kept.n_tokens == made.n_tokens
    assert np.array_equal(kept.draw(5, 40, np.random.default_rng(1)), made.draw(5, 40, np.random.default_rng(1)))
    with pytest.raises(MismatchError, match="other data"):
        read_texts(tmp_path, {"data": ["b"]})
    with pytest.raises(UsageError, match="9000 tokens"):
        made.draw(1, 9000, np.random.default_rng(0))
    (tmp_path / "texts-code.npy").write_bytes(b"\x93NUMPY no")
    with pytest.raises(MismatchError, match="cannot be used"):
        read_texts(tmp_path, {"data": ["a"]})


def test_recalled_tokens_are_those_that_only_the_text_could_tell():
    text = torch.arange(100, 132)
    tail = torch.tensor([9, 100, 600, 101, 100, 102])  # common 102; 600 stands nowhere; 100 comes twice
    windows = GistWindows(torch.cat([torch.tensor([1]), text, tail])[None], lod=1, n_nodes=1)
    assert _recalled(windows, torch.tensor([102]))[0].tolist() == [True, False, True, False, False]


def test_windows_with_more_nodes_are_fewer():
    training = GistTraining((GistStage("reading", steps=1),), windows=16)
    numbers = [training.n_windows(*shape) for shape in ((1, 1), (8, 1), (64, 1), (256, 1), (1, 2), (8, 2))]
    assert numbers[:2] == [16, 16]
    assert numbers[1] > numbers[2] > numbers[3] >= 1
    assert numbers[1] > numbers[4] > numbers[5] >= 1
