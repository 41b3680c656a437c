"""Archives from elsewhere: whatever stands in them, they are read or refused."""

import bz2
import gzip
import lzma
import zipfile

import pytest
from document_makers import make_tar, make_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from mctool.sources import SourceOptions
from mctool.sources.archives import read_archive, uncompressed
from mctool.sources.extract.extracted import UnreadableError

MEMBERS = {"a.txt": b"hello world\n" * 40, "d/b.py": b"def f(): pass\n" * 30}
TEXT = MEMBERS["a.txt"]
SOUND = [
    *(("a.zip", make_zip(MEMBERS, how)) for how in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA)),
    *((f"a.{name}", make_tar(MEMBERS, mode)) for name, mode in (("tar", "w"), ("tgz", "w:gz"), ("tar.xz", "w:xz"))),
]
COMPRESSED = [("a.gz", gzip.compress(TEXT)), ("a.bz2", bz2.compress(TEXT)), ("a.xz", lzma.compress(TEXT))]
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12))
"""Where, how many bytes go, and what comes in their place."""


def edited(data, edits):
    for where, n_bytes, new in edits:
        start = round(where * len(data))
        data = data[:start] + new + data[start + n_bytes :]
    return data


@pytest.mark.parametrize(("name", "data"), SOUND, ids=[name for name, _ in SOUND])
def test_members_are_read(name, data):
    assert dict(read_archive(name, data, SourceOptions())) == MEMBERS


@given(st.sampled_from(SOUND), st.lists(EDIT, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_damaged_archive_is_read_or_refused(archive, edits):
    name, data = archive
    try:
        members = list(read_archive(name, edited(data, edits), SourceOptions()))
    except UnreadableError:
        return
    assert all(member and isinstance(content, bytes | str) for member, content in members)


@given(st.sampled_from(COMPRESSED), st.lists(EDIT, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_damaged_compressed_file_is_read_or_refused(file, edits):
    name, data = file
    try:
        assert uncompressed(name, edited(data, edits), SourceOptions())[0] == "a"
    except UnreadableError:
        return


def test_a_zip_file_without_its_beginning_is_refused():
    """The list of members stands at the end and tells places that lie before the file begins."""
    with pytest.raises(UnreadableError, match="damaged"):
        list(read_archive("a.zip", make_zip(MEMBERS)[30:], SourceOptions()))


@pytest.mark.parametrize(
    ("name", "data"), [("a.zip", make_zip({".": b"text\n"})), ("a.tar", make_tar({"": b"text\n"}, "w"))]
)
def test_a_member_without_a_name_is_refused(name, data):
    with pytest.raises(UnreadableError, match="without a name"):
        list(read_archive(name, data, SourceOptions()))


def test_a_member_gives_no_more_than_it_declares():
    data = make_zip({"a.txt": bytes(100_000)})
    declared = (100_000).to_bytes(4, "little")
    assert data.count(declared) == 2  # before the member, and in the list of members
    lying = data.replace(declared, (10).to_bytes(4, "little"))
    with pytest.raises(UnreadableError, match="damaged"):
        list(read_archive("a.zip", lying, SourceOptions()))
