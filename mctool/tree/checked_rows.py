"""Some rows of an array of keys, read from its file without Zarr, every chunk against its checksum.

Zarr takes 40 to 80 ms of a core for the 12 MB of keys of a full segment, whatever part of them is wanted; these lines
take 5 to 15, and less for less. They read what :func:`mctool.tree.segments.write_group` makes of an array with
checksums only: one chunk, or one shard of chunks with its index at the end.

Source: Zarr v3 core specification, sharding codec 1.0.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from mctool.tree.content import IntArray

_CRC_BYTES = 4
_PLAIN = [{"name": "bytes"}, {"name": "crc32c"}]


@dataclass(frozen=True)
class CheckedRows:
    """An array [n, ...] of which rows can be read.

    Attributes:
        file: Where it lies.
        shape: Of the whole array.
        dtype: Of its numbers.
        chunk: Rows of a chunk.
        starts: Byte at which each chunk begins in the file, shape [chunks].
    """

    file: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: int
    starts: IntArray

    @classmethod
    def open(cls, directory: Path) -> CheckedRows:
        """Read where the chunks of a Zarr array lie.

        Raises:
            OSError: A file is missing or cannot be read.
            ValueError: The array is not stored as keys are, or is damaged.
        """
        try:
            return cls._described(directory, json.loads((directory / "zarr.json").read_bytes()))
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{directory.name}/zarr.json is damaged: {error}") from error

    @classmethod
    def _described(cls, directory: Path, meta: dict[str, Any]) -> CheckedRows:
        shape, (codec, *rest) = tuple(meta["shape"]), [_without_order(one) for one in meta["codecs"]]
        outer = meta["chunk_grid"]["configuration"]["chunk_shape"]
        dtype = np.dtype(meta["data_type"]).newbyteorder("<")
        file = directory.joinpath("c", *("0" for _ in shape))
        inner = codec.get("configuration", {}) if codec["name"] == "sharding_indexed" else None
        chunk_codecs = [codec, *rest] if inner is None else [_without_order(one) for one in inner["codecs"]]
        is_one_shard = inner is None or (not rest and inner["index_location"] == "end")
        if chunk_codecs != _PLAIN or not is_one_shard or outer[0] < shape[0]:
            raise ValueError(f"{directory.name} is not stored with checksums only")
        if inner is None:
            return cls(file, shape, dtype, outer[0], np.zeros(1, np.int64))
        chunk = inner["chunk_shape"][0]
        return cls(file, shape, dtype, chunk, _shard_index(file, outer[0] // chunk))

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Rows in the order given, shape [len(rows), ...]; only their chunks are read.

        Args:
            rows: Ascending.

        Raises:
            OSError: The file is missing or cannot be read.
            ValueError: A chunk is damaged.
        """
        owner = rows // self.chunk
        wanted, place = np.unique(owner, return_inverse=True)
        read = np.empty((len(wanted), self.chunk, *self.shape[1:]), self.dtype)
        if len(wanted):
            begins = np.flatnonzero(np.diff(self.starts[wanted], prepend=-1) != self._chunk_bytes)
            with self.file.open("rb", buffering=0) as file:
                for first, end in pairwise([*begins.tolist(), len(wanted)]):
                    read[first:end] = self._read_run(file.fileno(), int(self.starts[wanted[first]]), end - first)
        flat = read.reshape(-1, *self.shape[1:])
        at = place.reshape(-1) * self.chunk + rows - owner * self.chunk
        is_run = len(at) and at[-1] - at[0] + 1 == len(at) and bool((np.diff(at) == 1).all())
        return flat[at[0] : at[-1] + 1] if is_run else flat[at]

    def _read_run(self, file: int, start: int, n_chunks: int) -> npt.NDArray[Any]:
        """Chunks that lie side by side, shape [n_chunks, chunk, ...]."""
        size = self._chunk_bytes
        raw = os.pread(file, n_chunks * size, start)
        bodies = [_checked(raw[at : at + size], size, self.file) for at in range(0, n_chunks * size, size)]
        return np.frombuffer(b"".join(bodies), self.dtype).reshape(n_chunks, self.chunk, *self.shape[1:])

    @property
    def _chunk_bytes(self) -> int:
        """Bytes of a chunk with its checksum."""
        return self.chunk * math.prod(self.shape[1:]) * self.dtype.itemsize + _CRC_BYTES

    def all(self) -> npt.NDArray[Any]:
        """The whole array; raises as :meth:`take`."""
        return self.take(np.arange(self.shape[0]))


def _shard_index(file: Path, n_chunks: int) -> IntArray:
    with file.open("rb") as opened:
        length = 16 * n_chunks + _CRC_BYTES
        opened.seek(-length, os.SEEK_END)
        raw = _checked(opened.read(), length, file)
    starts = np.frombuffer(raw, "<u8").reshape(n_chunks, 2)[:, 0].astype(np.int64)
    if (starts < 0).any():
        raise ValueError(f"a chunk of {file} is missing")
    return starts


def _checked(raw: bytes, length: int, file: Path) -> bytes:
    """Bytes without the CRC-32C after them, which must be theirs."""
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if len(raw) != length or google_crc32c.value(body) != int.from_bytes(crc, "little"):
        raise ValueError(f"{file} is damaged: a checksum is not that of its bytes")
    return body


def _without_order(codec: dict[str, Any]) -> dict[str, Any]:
    """A codec as JSON, the order of bytes left out where it is the little-endian that is meant."""
    if codec["name"] == "bytes" and codec.get("configuration", {}).get("endian", "little") == "little":
        return {"name": "bytes"}
    return {key: value for key, value in codec.items() if key != "configuration" or value}
