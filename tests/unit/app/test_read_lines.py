"""Lines of documents."""

import pytest

import mctool
from mctool.app.read_lines import MOST_LINES, read_lines
from mctool.core.errors import UsageError


@pytest.fixture
def tree(project, tiny_model_dir):
    (project / "src").mkdir()
    (project / "src" / "a.txt").write_bytes("eins\r\nzwei\n\nGrüße 🙂\n".encode())
    (project / "src" / "b.txt").write_text("one\ntwo")
    (project / "b.txt").write_text("only\n")
    mctool.ingest(".", model=str(tiny_model_dir), device="cpu")
    with mctool.open_tree() as tree:
        yield tree


def test_lines_are_those_of_the_file(tree):
    found = read_lines(tree, "src/a.txt", 1, 4)
    assert found.text.split("\n") == ["eins\r", "zwei", "", "Grüße 🙂"]
    assert (found.path, found.start_line, found.end_line, found.lines) == ("src/a.txt", 1, 4, 4)
    assert read_lines(tree, "src/b.txt", 2, 99).to_json() == {
        "path": "src/b.txt", "start_line": 2, "end_line": 2, "lines": 2, "text": "two",
    }  # fmt: skip


def test_the_end_of_a_path_will_do_where_it_is_one_document(tree):
    assert read_lines(tree, "a.txt", 2, 2).text == "zwei"
    assert read_lines(tree, "b.txt", 1, 1).text == "only"  # the whole path goes before ends of others


@pytest.mark.parametrize(
    ("path", "start", "end", "told"),
    [
        ("a.txt", 0, 1, "no range"),
        ("a.txt", 3, 2, "no range"),
        ("a.txt", 5, 6, "has 4 lines, none is 5"),
        ("a.txt", 1, MOST_LINES + 1, "too many"),
        ("c.txt", 1, 1, "no document c.txt"),
        ("*.txt", 1, 1, "3 documents match"),
    ],
)
def test_what_cannot_be_read(tree, path, start, end, told):
    with pytest.raises(UsageError, match=told.replace("*", r"\*")):
        read_lines(tree, path, start, end)
