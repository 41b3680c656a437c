import numpy as np
import pytest

import mctool
from mctool.app.page import page_of_tree
from mctool.app.page_tokens import find_tokenizer, with_tokens
from mctool.core.page import PageText

TEXT = "".join(f"Grüße {n} from 東京 🙂, said the keeper\n\n\tand   waved.\n" for n in range(40))


@pytest.fixture(scope="module")
def tree(tiny_model_dir, tiny_weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "note.txt").write_text(TEXT, encoding="utf-8")
    (folder / "other.txt").write_text("Something short.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
        mctool.ingest("note.txt", "other.txt", tree=folder / ".mctool", model=str(tiny_model_dir), device="cpu")
    with mctool.open_tree(folder) as tree:
        yield tree


def test_tokens_tile_the_text_of_their_block(tree, tiny_model_dir):
    tokenizer = find_tokenizer(tree, str(tiny_model_dir))
    texts = page_of_tree(tree, [], tokenizer).texts
    known = 0
    for run in texts:
        block = tree.timeline.blocks_at([0])[0] if run.start_token == 0 else tree.documents[1].first_block
        stored, lengths = tree.tokens(np.arange(block, block + len(run.blocks)))
        for text, sizes, ids, n in zip(run.blocks, run.tokens, stored, lengths, strict=True):
            if not sizes:
                continue
            known += 1
            assert (len(sizes), sum(sizes)) == (n, len(text))
            place = 0
            for size, token in zip(sizes, ids.tolist(), strict=False):
                piece = text[place : place + size]
                assert "\ufffd" in tokenizer.decode([token]) or tokenizer.decode([token]) == piece
                place += size
    assert known > 0.8 * tree.timeline.total_blocks


def test_a_run_in_the_middle_has_the_tokens_of_the_whole(tree, tiny_model_dir):
    tokenizer = find_tokenizer(tree, str(tiny_model_dir))
    (whole, *_) = page_of_tree(tree, [], tokenizer).texts
    part = PageText(32 * 7, 1, whole.blocks[7:9])
    assert with_tokens(tree, tokenizer, part).tokens == whole.tokens[7:9]


def test_there_is_no_tokenizer_without_its_model(tree, tmp_path):
    assert find_tokenizer(tree, str(tmp_path / "none")) is None
    assert find_tokenizer(tree, "nonsense") is None
