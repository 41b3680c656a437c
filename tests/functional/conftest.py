"""A project with a tree to ask questions about."""

import shutil

import pytest
from ask_contract import SOURCES
from shells import Shell


@pytest.fixture(scope="session")
def ingested_letters(tmp_path_factory):
    """Where the tree of the first test is kept for the others; empty until then."""
    return tmp_path_factory.mktemp("ingested") / "project"


@pytest.fixture
def letters_tree(project, run_cli, ingested_letters):
    if ingested_letters.exists():
        shutil.copytree(ingested_letters, project, dirs_exist_ok=True)
    else:
        for name, content in SOURCES.items():
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).write_bytes(content)
        done = run_cli("ingest", ".")
        assert done.code == 0, done.err
        shutil.copytree(project, ingested_letters)
    return project / ".mctool"


@pytest.fixture
def shell(project, tmp_path):
    """Run lines in a shell whose home is empty and in which ``mctool`` is this program."""
    return Shell(tmp_path, project)
