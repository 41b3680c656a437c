"""The examples run, with the tiny model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STORY = "The lighthouse keeper wrote letters. The captain hid the compass under the stair.\n" * 9


@pytest.fixture
def run_example(project, tmp_path):
    """Run an example in the project, with this Python first on the path."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "mctool").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mctool "$@"\n')
    (commands / "python3").symlink_to(sys.executable)
    (commands / "mctool").chmod(0o755)
    root = str(EXAMPLES.parent)

    def run(*command, code=0):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": root}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
        return done

    return run


def test_ask_in_ci_tells_by_its_exit_code(run_example, project):
    (project / "docs").mkdir()
    (project / "docs" / "story.txt").write_text(STORY)
    done = run_example("bash", EXAMPLES / "ask_in_ci.sh", "Where is the compass of the captain?", "docs")
    assert "docs/story.txt line" in done.stdout
    done = run_example("bash", EXAMPLES / "ask_in_ci.sh", "Quantum chromodynamics?", "docs", code=1)
    assert done.stdout == "The documents do not say.\n"


def test_summarise_folder_gives_a_line_for_each_document(run_example, project):
    (project / "docs").mkdir()
    for name in ("a.txt", "b[1].md"):
        (project / "docs" / name).write_text(f"What this text is about: {STORY}")
    lines = run_example(sys.executable, EXAMPLES / "summarise_folder.py", "docs").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert [Path(record["path"]).name for record in records] == ["a.txt", "b[1].md"]
    assert all(set(record) == {"path", "tokens", "summary"} for record in records)


def test_the_hook_keeps_the_tree_current(run_example, project):
    run_example("git", "init", "-q")
    hook = project / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(EXAMPLES / "post-commit", hook)
    commit = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "commit")
    for name in ("a.txt", "b.txt"):
        (project / name).write_text(STORY)
        run_example("git", "add", name)
        run_example(*commit, "-qm", name)
    documents = json.loads(run_example("mctool", "inspect", "--json").stdout)
    assert [document["path"] for document in documents["documents"]] == ["a.txt", "b.txt"]
    assert [entry["added"] for entry in documents["history"]] == [1, 1]
    assert run_example("git", "status", "--porcelain").stdout == ""


def test_the_cells_run_as_a_whole(run_example):
    out = run_example(sys.executable, EXAMPLES / "explore.py").stdout
    assert "summarise_folder.py" in out
    assert "tokens read before" in out


def test_the_mcp_configuration_names_the_command():
    servers = json.loads((EXAMPLES / "mcp.json").read_text())["mcpServers"]
    assert servers == {"mctool": {"command": "mctool", "args": ["serve", "--mcp"]}}
