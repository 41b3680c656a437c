import json

import pytest
import torch

from mctool.core.errors import MismatchError, UsageError
from mctool.nets.base_model import BaseModel
from mctool.training.lora import ADAPTER_FOLDER, LoraTrainer, LoraTraining
from mctool.training.metrics import METRICS_FILE
from mctool.training.rows import Row, Segment, collate

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def row(number):
    window = [(7 * number + place) % 500 + 5 for place in range(20)]
    answered = Segment("short", [30, 31, number % 5 + 40], window[3:5])
    return Row(window, list(range(20)), 20, [answered, Segment("silence", [30, 31, 50], [])])


ROWS = [row(number) for number in range(12)]


def trainer(files, out, start=None, **settings):
    defaults = {"steps": 12, "rank": 4, "alpha": 8, "learning_rate": 0.02, "warmup_steps": 2, "batch_tokens": 120}
    return LoraTrainer(files, LoraTraining(**{**defaults, **settings}), ROWS, ROWS[:4], out, "cpu", start=start)


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / ADAPTER_FOLDER / "adapter_model.safetensors")


def test_training_learns_the_answers_and_the_silence(tiny_files, tmp_path):
    before, after = trainer(tiny_files, tmp_path, steps=60).run()
    assert after["nll_short"] < 0.6 * before["nll_short"]
    assert after["nll_silence"] < 0.6 * before["nll_silence"]
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert sum("loss" in line for line in lines) == 60
    assert lines[-1]["dev"] == after


def test_a_resumed_run_ends_as_one_that_was_not_stopped(tiny_files, tmp_path, monkeypatch):
    trainer(tiny_files, tmp_path / "whole").run()
    stopped = trainer(tiny_files, tmp_path / "parts", checkpoint_minutes=5.0)
    step = stopped._step

    def stop_at_seven():
        if stopped._progress.step == 7:
            stopped.save()
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(stopped, "_step", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = trainer(tiny_files, tmp_path / "parts")
    resumed.resume()
    assert resumed.questions > 0
    resumed.run()
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_result_may_be_a_mean_of_both_ends(tiny_files, tmp_path):
    trainer(tiny_files, tmp_path / "start").run()
    start = tmp_path / "start" / ADAPTER_FOLDER
    trainer(tiny_files, tmp_path / "end", start, seed=1).run()
    mixed = trainer(tiny_files, tmp_path / "mean", start, seed=1, start_share=0.25)
    _, after = mixed.run()
    first, last, mean = (weights(tmp_path / name) for name in ("start", "end", "mean"))
    for name in mean:
        torch.testing.assert_close(mean[name], torch.lerp(last[name].float(), first[name].float(), 0.25).half())
    assert after == mixed.measure()
    resumed = trainer(tiny_files, tmp_path / "mean", start, seed=1)  # what goes on is not the mean
    resumed.resume()
    resumed.run()
    assert all(torch.equal(weight, last[name]) for name, weight in weights(tmp_path / "mean").items())


@pytest.mark.parametrize("share", [0.5, -0.1, 1.0])
def test_a_mean_needs_two_ends_and_a_share(tiny_files, tmp_path, share):
    with pytest.raises(UsageError, match="--start-share"):
        trainer(tiny_files, tmp_path, start_share=share)


def test_the_adapter_answers_in_the_base_model_as_in_training(tiny_files, tmp_path):
    run = trainer(tiny_files, tmp_path)
    run.run()
    batch = collate(ROWS[:1], 2)
    with torch.no_grad():
        trained, _, _ = run._nll(batch)
    model = BaseModel.load(tiny_files, "cpu", "float32", adapter=tmp_path / ADAPTER_FOLDER)
    (one, *_), window = ROWS[0].segments, ROWS[0].ids
    with torch.inference_mode():
        merged = -model.log_likelihood(model.embed(window + one.prompt), None, [*one.target, 2])
    assert merged.tolist() == pytest.approx(trained[:3].tolist(), abs=0.15)  # half precision, and fp16 on disk


def test_without_the_adapter_the_base_model_is_untouched(tiny_files, tmp_path):
    window = ROWS[0].ids

    def read():
        model = BaseModel.load(tiny_files, "cpu", "float32")
        with torch.inference_mode():
            return model.logits(model.embed(window))

    before = read()
    trainer(tiny_files, tmp_path, steps=2).run()
    assert torch.equal(read(), before)


def test_the_threshold_refuses_few_questions_with_an_answer(tiny_files, tmp_path):
    run = trainer(tiny_files, tmp_path, steps=2)
    run._silence = [("short", float(odds)) for odds in range(100)] + [("silence", 500.0), ("text", -900.0)]
    assert run.silence_thresholds() == {"short": 91.0, "long": 91.0, "code": 0.0}


@pytest.mark.parametrize("settings", [{"rank": 2}, {"learning_rate": 0.1}, {"seed": 5}])
def test_a_checkpoint_of_other_settings_is_refused(tiny_files, tmp_path, settings):
    trainer(tiny_files, tmp_path, steps=1).run()
    with pytest.raises(MismatchError, match="another"):
        trainer(tiny_files, tmp_path, **settings).resume()


def test_a_checkpoint_of_another_start_is_refused(tiny_files, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        trainer(tiny_files, tmp_path / name, steps=1, seed=seed).run()
    first, second = (tmp_path / name / ADAPTER_FOLDER for name in ("a", "b"))
    trainer(tiny_files, tmp_path / "run", first, steps=1).run()
    for start in (second, None):
        with pytest.raises(MismatchError, match="another --start"):
            trainer(tiny_files, tmp_path / "run", start).resume()
    with pytest.raises(MismatchError, match="another --start"):
        trainer(tiny_files, tmp_path / "a", first).resume()
    trainer(tiny_files, tmp_path / "run", first).resume()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_has_as_many_steps_as_it_is_given(tiny_files, tmp_path, steps):
    run = trainer(tiny_files, tmp_path, steps=steps)
    run.run()
    assert run._progress.step == steps


def test_no_checkpoint_no_resume(tiny_files, tmp_path):
    with pytest.raises(MismatchError, match="no checkpoint"):
        trainer(tiny_files, tmp_path).resume()


@pytest.mark.parametrize("settings", [{}, {"steps": 1, "rank": 0}, {"steps": 1, "learning_rate": 0}, {"minutes": -1}])
def test_nonsense_is_refused(settings):
    with pytest.raises(UsageError):
        LoraTraining(**settings)


def test_nothing_to_train_on_is_refused(tiny_files, tmp_path):
    with pytest.raises(UsageError, match="nothing to train on"):
        LoraTrainer(tiny_files, LoraTraining(steps=1), [], [], tmp_path)
