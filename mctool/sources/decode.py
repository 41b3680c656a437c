"""From bytes to text: byte order marks first, then UTF-8, then the encoding that the file declares, then a guess.

Whatever is chosen has to decode every byte.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from mctool.sources.names import BINARY, EMPTY

NOT_TEXT = "not text in any known encoding"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose little-endian mark begins this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What text files are found in, the likelier first where the bytes do not tell. Left to all codecs that Python has,
# a guess falls for rare ones on short texts; without an order, Western text becomes Central European.
_LEGACY_ENCODINGS = (
    *("cp1252", "cp932", "euc_jp", "gb18030", "cp949", "big5"),
    *("cp1250", "iso8859_2", "cp1253", "cp1251", "koi8_r", "cp1255", "cp1254", "cp1256", "cp1257", "cp1258"),
    *("cp874", "iso8859_15", "iso8859_5", "iso8859_7", "iso8859_9", "koi8_u", "mac_roman", "cp850", "cp866", "cp437"),
)
_SUPERSETS = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
"""What files really are that declare the older name, as in the WHATWG Encoding Standard."""

_DECLARATION = re.compile(rb"(?:coding|charset|encoding)\s*[:=]\s*[\"']?([a-zA-Z0-9][a-zA-Z0-9._-]*)")
_DECLARATION_BYTES = 1024
_CHAOS_MARGIN = 0.02
_COHERENCE_MARGIN = 0.2
_SAMPLE_BYTES = 64 * 1024
_BINARY_PROBE_BYTES = 8 * 1024
_LINE_BEYOND_ASCII = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")


@dataclass(frozen=True)
class Decoded:
    """Text and the Python codec that gave it."""

    text: str
    encoding: str


def decode(data: bytes) -> Decoded | str:
    """Decode bytes to text, strictly; a byte order mark is not part of the text, line ends stay as they are.

    Returns:
        The text, or the reason why the bytes are none: binary, empty (white space only), in no known encoding.
    """
    marked = [encoding for mark, encoding in _MARKS if data.startswith(mark)]
    if not marked and b"\0" in data[:_BINARY_PROBE_BYTES]:
        return BINARY
    for encoding in marked or ("utf-8",):
        text = _decode_strictly(data, encoding)
        if text is not None:
            break
    else:
        guess = None if marked else _declared_encoding(data) or _guess_encoding(data)
        if guess is None:
            return NOT_TEXT
        encoding, text = guess, data.decode(guess)
    if marked and "\0" in text[:_BINARY_PROBE_BYTES]:
        return BINARY
    return EMPTY if not text or text.isspace() else Decoded(text, codecs.lookup(encoding).name)


def _decode_strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _declared_encoding(data: bytes) -> str | None:
    """The legacy encoding that the head of a file names (HTML, XML, Python), if it decodes every byte."""
    known = {codecs.lookup(encoding).name for encoding in _LEGACY_ENCODINGS}
    for found in _DECLARATION.finditer(data[:_DECLARATION_BYTES]):
        try:
            name = codecs.lookup(found.group(1).decode("ascii")).name
        except LookupError:
            continue
        encoding = _SUPERSETS.get(name, name)
        if encoding in known and _decode_strictly(data, encoding) is not None:
            return encoding
    return None


def _guess_encoding(data: bytes) -> str | None:
    """The likeliest legacy encoding that decodes every byte, or None."""
    # Only files that are not UTF-8 come here, so the import is not paid for by all.
    from charset_normalizer import from_bytes

    matches = from_bytes(_sample(data), cp_isolation=list(_LEGACY_ENCODINGS))
    best = matches.best()
    if best is None:
        return None
    close = [
        match
        for match in matches
        if match.chaos <= best.chaos + _CHAOS_MARGIN and match.coherence >= best.coherence - _COHERENCE_MARGIN
    ]
    likely = {encoding for match in close for encoding in match.could_be_from_charset}
    ranked = [encoding for encoding in _LEGACY_ENCODINGS if encoding in likely]
    ranked += [match.encoding for match in matches if match.encoding not in likely]
    return next((encoding for encoding in ranked if _decode_strictly(data, encoding) is not None), None)


def _sample(data: bytes) -> bytes:
    """Lines that hold bytes beyond ASCII, up to a bound: only these tell encodings apart."""
    parts: list[bytes] = []
    room = _SAMPLE_BYTES
    for found in _LINE_BEYOND_ASCII.finditer(data):
        line = found.group()
        if len(line) > room:
            if not parts:
                # One endless line. Cut at a space, so that no character of several bytes is cut in two.
                parts.append(line[: line.rfind(b" ", 0, room) + 1 or room])
            break
        parts.append(line)
        room -= len(line)
    return b"".join(parts)
