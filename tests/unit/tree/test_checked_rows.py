"""Rows of keys read without Zarr, against Zarr."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from mctool.tree.checked_rows import CheckedRows
from mctool.tree.segments import write_group


@pytest.fixture(scope="module", params=[1, 20, 32, 33, 200])
def stored(request, tmp_path_factory):
    """A group with keys of one chunk or of several, and small arrays of other shapes."""
    rng = np.random.default_rng(request.param)
    place = tmp_path_factory.mktemp("rows") / "group"
    keys = rng.integers(-127, 128, (request.param, 5), np.int8)
    scale = rng.random((request.param, 8)).astype(np.float16)
    write_group(place, {"keys": keys, "centroid_scale": scale, "lod1": scale}, {})
    return place, keys, scale


def test_all_rows_are_those_that_zarr_reads(stored):
    place, keys, scale = stored
    np.testing.assert_array_equal(CheckedRows.open(place / "keys").all(), keys)
    np.testing.assert_array_equal(zarr.open_array(place / "keys", mode="r")[...], keys)
    np.testing.assert_array_equal(CheckedRows.open(place / "centroid_scale").all(), scale)


@given(data=st.data())
def test_any_rows(stored, data):
    place, keys, _ = stored
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(keys) - 1)))), np.int64)
    np.testing.assert_array_equal(CheckedRows.open(place / "keys").take(rows), keys[rows])


def test_an_array_that_is_compressed_is_not_read(stored):
    with pytest.raises(ValueError, match="checksums only"):
        CheckedRows.open(stored[0] / "lod1")


def test_damage_is_found_in_the_chunks_that_are_read_and_in_no_other(tmp_path):
    keys = np.ones((100, 4), np.int8)
    write_group(tmp_path / "g", {"keys": keys}, {})
    file = tmp_path / "g/keys/c/0/0"
    raw = bytearray(file.read_bytes())
    raw[40 * 4] ^= 1  # near row 40: the second chunk
    file.write_bytes(raw)
    rows = CheckedRows.open(tmp_path / "g/keys")
    assert (rows.take(np.array([0, 31, 64, 99])) == 1).all()
    with pytest.raises(ValueError, match="checksum"):
        rows.take(np.array([0, 33]))
    file.write_bytes(raw[:-1] + b"?")
    with pytest.raises(ValueError, match="checksum"):
        CheckedRows.open(tmp_path / "g/keys")


@pytest.mark.parametrize("change", [{"shape": 3}, {"codecs": []}, {"data_type": "inu8"}, {"chunk_grid": None}])
def test_metadata_that_says_nonsense_is_damage(tmp_path, change):
    write_group(tmp_path / "g", {"keys": np.ones((9, 4), np.int8)}, {})
    meta = tmp_path / "g/keys/zarr.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | change))
    with pytest.raises(ValueError, match=r"damaged|checksums only|not enough values"):
        CheckedRows.open(tmp_path / "g/keys")
