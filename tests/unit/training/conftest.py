"""Fixtures of training: the tiny model with located questions."""

import pytest

from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer


@pytest.fixture(scope="session")
def tiny_files(tiny_model_dir):
    return ModelFiles(tiny_model_dir.name, tiny_model_dir)


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_files):
    return TextTokenizer.load(tiny_files)
