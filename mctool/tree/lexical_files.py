"""The files of a stored lexical index, checked without tantivy, which trusts what it reads.

Every file of a tantivy segment ends with a footer: JSON with the CRC-32 of what stands before it, the length of that
JSON, and a magic number. The list of segments, ``meta.json``, has none; its CRC, and that of the footers, is kept in
the stamp of the index.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

META = "meta.json"
SEGMENT_FILES = ("fast", "fieldnorm", "idx", "pos", "store", "term")
"""Extensions of the files of each segment."""

_TAIL = struct.Struct("<II")
_MAGIC = 1337
_FOOTER_BYTES = 128
"""At least as long as a footer."""

_NO_LIST = (ValueError, KeyError, TypeError, AttributeError)
_READ_BYTES = 1 << 20


def meta_crc(index: Path) -> int | None:
    """CRC-32 of the list of segments and of the footers of their files; None when they cannot be read."""
    try:
        raw = (index / META).read_bytes()
        crc = zlib.crc32(raw)
        for name in _file_names(raw):
            with (index / name).open("rb") as stream:
                stream.seek(-min(_FOOTER_BYTES, (index / name).stat().st_size), 2)
                crc = zlib.crc32(stream.read(), crc)
    except (OSError, *_NO_LIST):
        return None
    return crc


def index_bytes(index: Path) -> int:
    """Bytes of all files of an index."""
    return sum(file.stat().st_size for file in index.iterdir() if file.is_file())


def file_fault(index: Path) -> str | None:
    """What is wrong with the first damaged file of an index, in words; None when all are as they were written."""
    try:
        names = _file_names((index / META).read_bytes())
    except (OSError, *_NO_LIST) as error:
        return f"{META} cannot be read: {error}"
    try:
        for name in names:
            if not _is_sound(index / name):
                return f"{name} has another checksum than it should"
    except OSError as error:
        return f"it cannot be read: {error}"
    return None


def _file_names(meta: bytes) -> list[str]:
    stems = [entry["segment_id"].replace("-", "") for entry in json.loads(meta)["segments"]]
    return [f"{stem}.{extension}" for stem in stems for extension in SEGMENT_FILES]


def _is_sound(file: Path) -> bool:
    with file.open("rb") as stream:
        size = file.stat().st_size
        if size < _TAIL.size:
            return False
        stream.seek(-_TAIL.size, 2)
        length, magic = _TAIL.unpack(stream.read(_TAIL.size))
        body = size - _TAIL.size - length
        if magic != _MAGIC or body < 0:
            return False
        stream.seek(body)
        try:
            expected = json.loads(stream.read(length))["crc"]
        except (ValueError, KeyError, TypeError):
            return False
        stream.seek(0)
        crc = 0
        while body:
            part = stream.read(min(_READ_BYTES, body))
            if not part:
                return False
            crc, body = zlib.crc32(part, crc), body - len(part)
    return bool(crc == expected)
