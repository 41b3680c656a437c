"""Encodings: what is text, in which codec, and what is not."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.sources.decode import Decoded, decode

GERMAN = "Der Fluß führt über die Brücke nach Köln, wo große Häuser stehen.\n"


@given(st.text().filter(lambda text: text.strip() and "\0" not in text and not text.startswith("\ufeff")))
def test_utf8_gives_back_the_text(text):
    assert decode(text.encode()) == Decoded(text, "utf-8")


@pytest.mark.parametrize(
    ("mark", "codec", "name"),
    [
        (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    ],
)
def test_byte_order_mark_names_the_encoding_and_is_no_text(mark, codec, name):
    assert decode(mark + GERMAN.encode(codec)) == Decoded(GERMAN, name)
    assert decode(mark) == "empty"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        ("caf\u00e9\n", "cp1252"),
        ("author = 'M\u00fcller'\n", "cp1252"),
        ("He said \u201chello\u201d \u2013 and it\u2019s fine.\n", "cp1252"),
        ("El niño comió mañana en la montaña según José.\n", "cp1252"),
        ("# Copyright © 2001 Jürgen Weiß\nimport os\ndef main():\n    pass\n", "cp1252"),
        ("Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi.\n", "cp1250"),
        ("Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi.\n", "iso8859-2"),
        ("Привет, мир! Это простой текст на русском языке, для проверки кодировки.\n", "cp1251"),
        ("Привет, мир! Это простой текст на русском языке, для проверки кодировки.\n", "koi8-r"),
        ("Αυτό είναι ένα απλό κείμενο στα ελληνικά.\n", "cp1253"),
        ("これは日本語の文章です。文字コードの判定を試します。\n", "cp932"),
        ("これは日本語の文章です。文字コードの判定を試します。\n", "euc_jp"),
        ("这是一个用来检测编码的中文句子。我们希望它能正确。\n", "gb18030"),
        ("이것은 인코딩을 확인하기 위한 한국어 문장입니다.\n", "cp949"),
    ],
)
def test_legacy_encodings_are_recognised(text, encoding):
    assert decode(text.encode(encoding)) == Decoded(text, encoding)


@pytest.mark.parametrize(
    ("text", "written", "recorded"),
    [
        ("# -*- coding: koi8-r -*-\nname = 'Ян'\n", "koi8-r", "koi8-r"),
        ('<meta charset="iso-8859-1">\nJan Pokorný\n', "cp1252", "cp1252"),
        ('<?xml version="1.0" encoding="windows-1255"?>\n<a>שלום עולם</a>\n', "cp1255", "cp1255"),
        ("<meta charset=x-unknown>\nDéjà vu à Nîmes\n", "cp1252", "cp1252"),
        ("# coding: unicode_escape\n# Déjà vu à Nîmes\n", "cp1252", "cp1252"),
        ("# coding: utf-8\n# Déjà vu à Nîmes\n", "cp1252", "cp1252"),
    ],
)
def test_declared_encoding_is_believed_when_it_fits(text, written, recorded):
    assert decode(text.encode(written)) == Decoded(text, recorded)


def test_one_accent_at_the_end_of_much_ascii_is_read_right():
    text = "plain ascii line\n" * 20_000 + "déjà vu\n"
    assert decode(text.encode("cp1252")) == Decoded(text, "cp1252")


def test_one_endless_line_of_many_byte_characters_is_read_right():
    text = "日本語の 文章です、 " * 20_000
    assert decode(text.encode("cp932")) == Decoded(text, "cp932")


def test_the_guess_decodes_every_byte():
    # 0x81 is no character of cp1252, which the rest of the bytes speak for.
    decoded = decode(GERMAN.encode("cp1252") * 50 + b"\x81\x8d\x8f\x90\x9d\n")
    assert isinstance(decoded, str) or decoded.encoding != "cp1252"


def test_line_ends_stay_as_they_are():
    assert decode(b"a\r\nb\rc\n") == Decoded("a\r\nb\rc\n", "utf-8")


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", "\u3000\u00a0".encode(), codecs.BOM_UTF8 + b"\n"])
def test_white_space_is_empty(data):
    assert decode(data) == "empty"


def test_nul_in_the_first_8_kib_is_binary():
    assert decode(b"text\0text") == "binary"
    assert decode("text".encode("utf-16-le")) == "binary"
    assert decode(codecs.BOM_UTF16_LE + b"a\0\0\0") == "binary"
    assert isinstance(decode(b"x" * 8192 + b"\0"), Decoded)


def test_broken_text_with_a_byte_order_mark_is_refused():
    assert decode(codecs.BOM_UTF16_LE + b"a\0b") == "not text in any known encoding"
    assert decode(codecs.BOM_UTF8 + b"ab\xff") == "not text in any known encoding"


def test_noise_is_refused():
    noise = bytes((i * i * 7 + i * 13) % 255 + 1 for i in range(1000))
    assert decode(noise) == "not text in any known encoding"


@given(st.binary(max_size=400))
def test_any_bytes_give_text_or_a_reason(data):
    decoded = decode(data)
    if isinstance(decoded, Decoded):
        assert data.decode(decoded.encoding) == decoded.text
    else:
        assert decoded
