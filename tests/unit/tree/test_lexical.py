"""The lexical index of trees whose tokens are bytes: a block is 32 characters."""

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from mctool.core.records import DocumentCounts
from mctool.tree import LexicalIndex, Tree, check_lexical, lexical, open_writer
from mctool.tree.lexical import LexicalWriter, Stamp


def lines(*texts):
    """Text with one line a block."""
    assert all(len(text) < 32 for text in texts)
    return "".join(f"{text:<31}\n" for text in texts)


BOOK = lines("the lighthouse keeper", "wrote many letters", "before the storm", "took the lighthouse")
CODE = lines("import os", "def parse_lines(path):", "    return path.lines()", "class Keeper(Person):")


def found(tree, question):
    """Where each term of a question stands: {term: (ranks, ranks of definitions, documents)}, and if it was stored."""
    index = LexicalIndex.open(tree)
    hits = {
        hit.term: (hit.blocks.tolist(), hit.definitions.tolist(), hit.documents.tolist())
        for hit in index.hits(question)
        if len(hit.blocks) or len(hit.documents)
    }
    return hits, index.is_stored


def look_up(ingester, question):
    with Tree.open(ingester.path) as tree:
        return found(tree, question)


def stored(ingester, question):
    hits, is_stored = look_up(ingester, question)
    assert is_stored
    return hits


def layout_of(ingester):
    with Tree.open(ingester.path) as tree:
        return tree.layout


def is_sound(ingester):
    with Tree.open(ingester.path) as tree:
        return check_lexical(tree) is None


def test_terms_are_found_in_text_definitions_and_paths(ingester):
    ingester.commit({"docs/letters.md": BOOK, "parse.py": CODE})
    assert stored(ingester, "Where is the lighthouse?") == {"lighthous": ([0, 3], [], [])}
    assert stored(ingester, "parse_lines") == {
        "pars": ([5], [5], [1]),
        "parse_lines": ([5], [5], []),
        "line": ([5, 6], [5], []),
    }
    assert stored(ingester, "letters") == {"letter": ([1], [], [0])}
    assert stored(ingester, "keeper") == {"keeper": ([0, 7], [7], [])}
    assert stored(ingester, "zebra") == {}
    assert is_sound(ingester)


def test_the_rarest_term_comes_first(ingester):
    ingester.commit({"a": BOOK})
    assert list(stored(ingester, "lighthouse storm")) == ["storm", "lighthous"]


def test_a_term_that_stands_only_in_a_path_is_found(ingester):
    ingester.commit({"notes/harbour.md": BOOK})
    assert stored(ingester, "harbour") == {"harbour": ([], [], [0])}


def test_hits_follow_changes_and_retirement(ingester):
    ingester.commit({"a": BOOK, "b": CODE})
    ingester.commit({"c": lines("the old pier")})
    assert stored(ingester, "pier keeper") == {"pier": ([8], [], []), "keeper": ([0, 7], [7], [])}
    ingester.commit({"b": lines("no code any more", "but a pier")}, retire=["b", "a"])
    # Live now: c, then the new b.
    assert stored(ingester, "pier keeper") == {"pier": ([0, 2], [], [])}
    ingester.commit({}, retire=["b", "c"])
    assert stored(ingester, "pier keeper") == {}
    assert is_sound(ingester)


def test_an_index_of_mostly_retired_blocks_is_made_anew(ingester):
    ingester.commit({"a": BOOK * 8, "b": CODE})
    ingester.commit({}, retire=["a"])
    assert Stamp.read(layout_of(ingester)).n_blocks == 36
    ingester.commit({"c": lines("the old pier")})
    assert Stamp.read(layout_of(ingester)).n_blocks == 5
    assert stored(ingester, "pier keeper") == {"pier": ([4], [], []), "keeper": ([3], [3], [])}
    assert is_sound(ingester)


def remove(layout):
    shutil.rmtree(layout.lexical)


def remove_index(layout):
    shutil.rmtree(layout.lexical_index)


def remove_stamp(layout):
    layout.lexical_stamp.unlink()


def damage_list_of_segments(layout):
    (layout.lexical_index / "meta.json").write_text("nonsense")


def damage_terms(layout):
    for file in layout.lexical_index.glob("*.term"):
        file.unlink()  # not written over: an index that is still open may have it mapped
        file.write_bytes(b"nonsense")


def lose_a_file(layout):
    for file in layout.lexical_index.glob("*.fast"):
        file.unlink()


def write_nonsense(layout):
    layout.lexical_stamp.write_text('{"generation": 1, "colour": "red"}')


def make_older(layout):
    edit_stamp(layout, generation=0)


def make_unsound_and_older(layout):
    edit_stamp(layout, generation=0, sound=False)


def change_terms(layout):
    edit_stamp(layout, terms_version=0)


def edit_stamp(layout, **changes):
    stamp = json.loads(layout.lexical_stamp.read_text())
    layout.lexical_stamp.write_text(json.dumps(stamp | changes))


@pytest.mark.parametrize(
    "spoil",
    [
        remove,
        remove_index,
        remove_stamp,
        damage_list_of_segments,
        damage_terms,
        lose_a_file,
        write_nonsense,
        make_older,
        make_unsound_and_older,
        change_terms,
    ],
)
def test_an_index_that_is_not_the_trees_is_replaced_in_memory_and_stored_by_the_next_ingest(ingester, spoil):
    ingester.commit({"letters.md": BOOK, "parse.py": CODE})
    question = "Which keeper parses letters in the lighthouse?"
    before = stored(ingester, question)
    assert set(before) == {"keeper", "pars", "letter", "lighthous"}
    spoil(layout_of(ingester))
    assert not is_sound(ingester)
    assert look_up(ingester, question) == (before, False)
    with open_writer(ingester.path, type(ingester.commit({})._builder)()) as writer:
        assert not writer.index_was_stale
    assert stored(ingester, question) == before
    assert is_sound(ingester)


def test_a_writer_knows_that_the_index_has_to_be_stored_again(ingester, builder):
    ingester.commit({"a": BOOK})
    make_older(layout_of(ingester))
    with open_writer(ingester.path, builder) as writer:
        assert writer.index_was_stale
        writer.commit([], "0", DocumentCounts())
    assert is_sound(ingester)
    assert stored(ingester, "storm") == {"storm": ([2], [], [])}


def crash_before_the_catalogs_commit(ingester, builder):
    """An ingest that dies after the index was written and before the catalog was."""
    layout = layout_of(ingester)
    with open_writer(ingester.path, builder) as writer:
        ingester.add(writer, "b", CODE)
        writer._lexical.prepare()
    return layout


def test_a_crash_before_the_commit_leaves_the_index_usable(ingester, builder):
    ingester.commit({"a": BOOK})
    layout = crash_before_the_catalogs_commit(ingester, builder)
    assert not Stamp.read(layout).sound
    assert stored(ingester, "keeper") == {"keeper": ([0], [], [])}
    # The next ingest gives the same block ids to another text.
    ingester.commit({"c": lines("no such man")})
    assert stored(ingester, "keeper parse_lines man") == {"keeper": ([0], [], []), "man": ([4], [], [])}
    assert is_sound(ingester)


def test_a_crash_after_the_commit_is_noticed(ingester, builder, monkeypatch):
    ingester.commit({"a": BOOK})

    def die(self, generation):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LexicalWriter, "finish", die)
        with pytest.raises(KeyboardInterrupt):
            ingester.commit({"b": CODE}, retire=["a"])
    assert not is_sound(ingester)
    expected = {"keeper": ([3], [3], [])}
    assert look_up(ingester, "keeper storm") == (expected, False)
    ingester.commit({"c": lines("the old pier")})
    assert stored(ingester, "keeper storm") == expected


def test_an_open_tree_shows_its_own_generation(ingester):
    ingester.commit({"a": BOOK, "b": CODE})
    with Tree.open(ingester.path) as tree:
        before = found(tree, "keeper pier")
        ingester.commit({"c": lines("the old pier")}, retire=["a"])
        assert found(tree, "keeper pier") == before == ({"keeper": ([0, 7], [7], [])}, True)


def test_a_term_that_stands_nowhere_is_told_too(ingester):
    ingester.commit({"a": BOOK})
    with Tree.open(ingester.path) as tree:
        hits = LexicalIndex.open(tree).hits("storm zebra")
    assert [(hit.term, len(hit.blocks), len(hit.documents)) for hit in hits] == [("zebra", 0, 0), ("storm", 1, 0)]


def test_an_empty_tree_has_no_hits(ingester):
    ingester.commit({})
    assert stored(ingester, "keeper") == {}


def test_a_very_long_word_does_no_harm(ingester):
    ingester.commit({"a": "x" * 200_000 + " lighthouse"})
    assert list(stored(ingester, "lighthouse")) == ["lighthous"]
    assert stored(ingester, "y" * 200_000) == {}


@contextmanager
def nobody(ingester):
    """A block in which this process may not write to a tree, nor read much else."""
    places = [ingester.path, *ingester.path.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    me = os.geteuid()
    try:
        if me == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(me)
        for place in places:
            place.chmod(0o755)


@pytest.fixture
def open_place():
    """A directory that all users of this machine can reach."""
    if not hasattr(os, "seteuid"):
        pytest.skip("needs POSIX users")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_tree_that_may_not_be_written_can_be_asked(make_ingester, open_place):
    ingester = make_ingester(open_place / ".mctool")
    ingester.commit({"a": BOOK})
    with nobody(ingester), Tree.open(ingester.path) as tree:
        index = LexicalIndex.open(tree)
        sound = check_lexical(tree)
    assert index.is_stored
    assert sound is None
    assert index.hits("storm")[0].blocks.tolist() == [2]


def test_a_lock_file_that_appears_late_does_no_harm(make_ingester, open_place, monkeypatch):
    """A thread of tantivy may make one while the links to a tree that may not be written are removed."""
    removed = []

    def rmdir(path, *arguments, **words):
        if not removed:
            (Path(path) / ".tantivy-meta.lock").touch()
        removed.append(Path(path))
        remove(path, *arguments, **words)

    ingester = make_ingester(open_place / ".mctool")
    ingester.commit({"a": BOOK})
    remove = os.rmdir
    monkeypatch.setattr(os, "rmdir", rmdir)
    with nobody(ingester), Tree.open(ingester.path) as tree:
        index = LexicalIndex.open(tree)
    assert index.is_stored
    assert len(removed) == 2
    assert not removed[0].exists()


def test_an_ingest_that_is_given_up_lets_the_next_one_write(ingester, builder):
    ingester.commit({"a": BOOK})
    writer = open_writer(ingester.path, builder)
    ingester.add(writer, "b", CODE)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        ingester.add(writer, "c", CODE)
    with open_writer(ingester.path, builder) as second:
        ingester.add(second, "c", lines("the old pier"))
        second.commit([], "0", DocumentCounts(added=1))
    assert stored(ingester, "pier keeper") == {"pier": ([4], [], []), "keeper": ([0], [], [])}


def test_what_an_interrupted_removal_left_does_no_harm(ingester):
    ingester.commit({"a": BOOK})
    layout = layout_of(ingester)
    shutil.copytree(layout.lexical, layout.former_lexical)
    make_older(layout)
    ingester.commit({"c": lines("the old pier")})
    assert not layout.former_lexical.exists()
    assert stored(ingester, "pier keeper") == {"pier": ([4], [], []), "keeper": ([0], [], [])}


def test_an_index_that_is_being_made_anew_is_for_no_reader(tmp_path):
    from mctool.tree.layout import Layout
    from mctool.tree.lexical import NO_GENERATION, Stamp

    layout = Layout(tmp_path)
    layout.lexical.mkdir()
    Stamp(NO_GENERATION, 0, sound=False).write(layout)
    stamp = Stamp.read(layout)
    assert not any(stamp.fits(generation) or stamp.fits(generation + 1) for generation in range(3))


def test_an_index_that_is_just_being_committed_can_be_read(ingester):
    ingester.commit({"a": BOOK})
    layout = layout_of(ingester)
    Stamp(Stamp.read(layout).generation, 99, sound=False).write(layout)  # as before tantivy's commit
    assert stored(ingester, "keeper") == {"keeper": ([0], [], [])}


def test_an_index_that_a_writer_changes_meanwhile_is_opened_again(ingester, monkeypatch):
    ingester.commit({"a": BOOK})
    with Tree.open(ingester.path) as tree:
        waiting = [{"b": CODE}]

        def file_fault(*arguments):
            if waiting:
                ingester.commit(waiting.pop())
            return real_fault(*arguments)

        real_fault = lexical._file_fault
        monkeypatch.setattr(lexical, "_file_fault", file_fault)
        hits, is_stored = found(tree, "keeper")
    assert is_stored
    assert hits == {"keeper": ([0], [], [])}


def test_a_damaged_index_is_tried_once(ingester, monkeypatch):
    ingester.commit({"a": BOOK})
    tried = []
    monkeypatch.setattr(lexical, "_file_fault", lambda *_arguments: tried.append(1) or "damaged")
    assert not look_up(ingester, "keeper")[1]
    assert tried == [1]
