"""``mctool doctor``, through the entry point."""

import sys

import pytest

from mctool.version import __version__


def found(report):
    return {(one["section"], one["name"]): one for one in report["findings"]}


def test_without_a_tree(run_cli, project, tiny_model_dir):
    done = run_cli("doctor", "--json")
    assert (done.code, done.err) == (0, "")
    assert list(done.json) == ["version", "ok", "findings"]
    assert (done.json["version"], done.json["ok"]) == (__version__, True)
    seen = found(done.json)
    assert all(list(one) == ["section", "name", "value", "state", "fix"] for one in done.json["findings"])
    assert {section for section, _ in seen} >= {"machine", "torch", "model", "nets", "tree", "terminal"}
    assert seen["tree", "path"]["value"] == "none here"
    assert seen["model", str(tiny_model_dir)]["value"] == str(tiny_model_dir)
    assert seen["nets", "GistNet"]["state"] == "ok"
    assert seen["nets", "lens keys"]["state"] == "note"
    assert list(project.iterdir()) == []


def test_with_a_tree(run_cli, letters_tree):
    seen = found(run_cli("doctor", "--json").json)
    assert seen["tree", "path"]["value"] == str(letters_tree)
    assert seen["tree", "format"]["value"].startswith("1 ")
    assert seen["tree", "made with"]["value"] == "tiny-llama, gists"
    assert seen["tree", "holds"]["value"].endswith(" tokens in 5 documents")
    assert seen["tree", "lexical index"]["value"] == "sound"


def test_lines_for_people(run_cli, letters_tree):
    done = run_cli("doctor")
    assert done.code == 0
    assert str(letters_tree) in done.out
    assert not any(line.startswith("x ") for line in done.out.splitlines())


@pytest.mark.parametrize(
    ("harm", "code", "where"),
    [
        (lambda tree: next(tree.glob("segments/*/text/c/0")).unlink(), 4, ("tree", "state")),
        (lambda tree: (tree / "catalog.sqlite").write_bytes(b"nothing"), 4, ("tree", "state")),
    ],
)
def test_a_damaged_tree_is_broken(run_cli, letters_tree, harm, code, where):
    harm(letters_tree)
    done = run_cli("doctor", "--json")
    assert done.code == code
    assert found(done.json)[where]["state"] == "broken"
    assert done.json["ok"] is False
    assert done.err.count("\n") == 1


def test_a_tree_that_is_named_and_not_there_is_broken(run_cli, project):
    assert run_cli("doctor", "-t", "nowhere").code == 3


def test_what_is_missing_is_said_and_the_rest_is_looked_at(run_cli, letters_tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run_cli("doctor")
    assert done.code == 8
    assert any(line.startswith("x torch") for line in done.out.splitlines())
    assert "terminal" in done.out
    assert "pip install mctool" in done.err


def test_a_model_that_is_not_here_is_no_fault(run_cli, project, monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MCTOOL_MODEL")
    done = run_cli("doctor", "--json")
    assert done.code == 0
    assert "models pull" in found(done.json)["model", "smollm2-135m-instruct"]["fix"]
    assert run_cli("doctor", "--model", "./no/model").code == 5
    assert run_cli("doctor", "--device", "abacus").code == 2


def test_damaged_nets_are_broken(run_cli, project, monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path / "nowhere"))
    assert run_cli("doctor").code == 5
    (tmp_path / "lens").mkdir()
    (tmp_path / "lens" / "keys.json").write_text("{")
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(tmp_path))
    done = run_cli("doctor")
    assert done.code == 5
    assert "keys.json cannot be read" in done.err
