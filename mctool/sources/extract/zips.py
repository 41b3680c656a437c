"""Zip files from elsewhere, within bounds."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib

from mctool.sources.extract.extracted import UnreadableError

MAX_MEMBERS = 20_000
MAX_BYTES = 256_000_000
"""Most bytes of all members of a document, unpacked."""

MAX_RATIO = 100
"""Most unpacked bytes for each packed one, beyond the bytes that are harmless in any case."""

ZIP_FAILURES = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, OSError, EOFError,
    ValueError, LookupError,
)  # fmt: skip
"""What :mod:`zipfile` raises over damaged files: it follows the places and lengths that stand in them."""

_HARMLESS_BYTES = 32_000_000
_ENCRYPTED = 0x1
_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")
"""How older office documents begin, and newer ones with a password."""


def open_zip(data: bytes) -> zipfile.ZipFile:
    """Open a zip file that unpacks to a bearable size; reading a member gives at most the bytes that it declares.

    Raises:
        UnreadableError: It is damaged, encrypted, or beyond the bounds.
    """
    if data.startswith(_COMPOUND_FILE):
        raise UnreadableError("it is encrypted, or of the format before 2007")
    try:
        opened = zipfile.ZipFile(io.BytesIO(data))
    except ZIP_FAILURES as error:
        raise UnreadableError("it is not a whole zip file") from error
    members = opened.infolist()
    if len(members) > MAX_MEMBERS:
        raise UnreadableError(f"it has {len(members):,} members, more than {MAX_MEMBERS:,}")
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise UnreadableError("it is encrypted")
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > MAX_BYTES or n_bytes > max(_HARMLESS_BYTES, MAX_RATIO * len(data)):
        raise UnreadableError(f"it unpacks to {n_bytes / 1e6:,.0f} MB, more than is safe")
    return opened
