"""Reading one sealed segment.

Shape letters: n requested rows, d width of a gist. All indices here count from the start of the segment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from mctool.core.blocks import nodes_in_segment
from mctool.core.errors import TreeDamagedError
from mctool.tree import layout as names
from mctool.tree.content import IdArray, IntArray, split_text
from mctool.tree.failures import REINGEST, read_failures
from mctool.tree.gists import GistArray
from mctool.tree.layout import Layout
from mctool.tree.rows import Segment


def check_files(layout: Layout, segment: Segment) -> None:
    """Check cheaply that every file of a segment is there with its size.

    Zarr reads a lost chunk as zeros, so this comes before any reading.

    Raises:
        TreeDamagedError: A file is missing or has another size.
    """
    directory = layout.segment(segment.name)
    for path, (size, _) in segment.files.items():
        file = directory / path
        with read_failures(file):
            found = file.stat().st_size
        if found != size:
            raise TreeDamagedError(f"{file} has {found} bytes, the catalog says {size}", REINGEST)


class SegmentReader:
    """Scattered reads from one segment; arrays are opened on first use and offsets are kept.

    Every method raises TreeDamagedError when stored bytes cannot be read.
    """

    def __init__(self, layout: Layout, segment: Segment, *, check: bool = True) -> None:
        """Get ready to read; without ``check`` the files may be those of a damaged segment, whose bytes prove nothing.

        Raises:
            TreeDamagedError: A file is missing or has another size.
        """
        if check:
            check_files(layout, segment)
        self._directory = layout.segment(segment.name)
        self._segment = segment
        self._arrays: dict[str, Any] = {}
        self._bounds: IntArray | None = None
        self._columns: dict[str, IntArray] = {}

    def ids(self, rows: IntArray) -> IdArray:
        """Token ids of blocks, in any order and repeated or not, shape [n, 32]."""
        read = self._rows(names.LOD0, rows, self._segment.n_blocks)
        ids: IdArray = read.astype(np.uint32)
        return ids

    def gists(self, lod: int, rows: IntArray) -> GistArray:
        """Gists of nodes of level ``lod`` >= 1, shape [n, d]."""
        name = names.gists_array(lod, self._segment.revision)
        gists: GistArray = self._rows(name, rows, nodes_in_segment(lod, self._segment.n_blocks))
        if not np.isfinite(gists).all():
            raise TreeDamagedError(f"{self._directory / name} holds gists that are not finite", REINGEST)
        return gists

    def text(self, first: int, end: int) -> bytes:
        """UTF-8 text of the blocks [first, end)."""
        bounds = self.byte_bounds()
        return self._read(names.TEXT, slice(int(bounds[first]), int(bounds[end]))).tobytes()

    def whole_text(self) -> bytes:
        """UTF-8 text of all blocks."""
        return self._read(names.TEXT, slice(None)).tobytes()

    def block_texts(self) -> list[str]:
        """Text of each block."""
        bounds = self.byte_bounds().tolist()
        with read_failures(self._directory / names.TEXT):
            return split_text(self.text(0, len(bounds) - 1), bounds)

    def byte_bounds(self) -> IntArray:
        """Where the text of each block begins, and where the last ends, shape [n_blocks + 1]."""
        if self._bounds is None:
            starts = self._column(names.BYTE_START)
            self._bounds = np.append(starts, self._array(names.TEXT).shape[0])
        return self._bounds

    def char_starts(self) -> IntArray:
        """First character of each block, in code points into its document, shape [n_blocks]."""
        return self._column(names.CHAR_START)

    def line_starts(self) -> IntArray:
        """Line of that character, from 1, shape [n_blocks]."""
        return self._column(names.LINE_START)

    def _column(self, name: str) -> IntArray:
        if name not in self._columns:
            column = self._read(name, slice(None)).astype(np.int64)
            if len(column) != self._segment.n_blocks:
                raise self._wrong_size(name, len(column), self._segment.n_blocks)
            self._columns[name] = column
        return self._columns[name]

    def _rows(self, name: str, rows: IntArray, expected: int) -> npt.NDArray[Any]:
        stored = self._array(name)
        if stored.shape[0] != expected:
            raise self._wrong_size(name, stored.shape[0], expected)
        unique, inverse = np.unique(rows, return_inverse=True)
        if not len(unique):
            return self._read(name, slice(0, 0))
        low, high = int(unique[0]), int(unique[-1]) + 1
        if high - low == len(unique):
            return self._read(name, slice(low, high))[inverse]
        with read_failures(self._directory / name):
            scattered: npt.NDArray[Any] = stored.oindex[unique]
        return scattered[inverse]

    def _read(self, name: str, part: slice) -> npt.NDArray[Any]:
        stored = self._array(name)
        with read_failures(self._directory / name):
            read: npt.NDArray[Any] = stored[part]
        return read

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            path: Path = self._directory / name
            with read_failures(path):
                self._arrays[name] = zarr.open_array(path, mode="r", zarr_format=3)
        return self._arrays[name]

    def _wrong_size(self, name: str, found: int, expected: int) -> TreeDamagedError:
        return TreeDamagedError(f"{self._directory / name} has {found} rows, the catalog says {expected}", REINGEST)
