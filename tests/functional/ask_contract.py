"""Documents to ask about, and what must hold for every result of ``mctool ask``."""

LETTERS = "".join(f"Letter {n}: the keeper saw {n} ships near the pier.\n" for n in range(150))
SOURCES = {
    "letters.txt": (LETTERS + "The captain hid the emerald compass under the third stair.\n" + LETTERS).encode(),
    "grüße.md": (
        "🙂 Grüße aus Köln.\n" * 30 + "Die Möwe heißt Ottilie und wohnt in 東京.\n" + "Ende 🙂\n" * 30
    ).encode(),
    "windows.txt": ("A dull line.\r\n" * 40 + "The password is swordfish.\r\n" + "More dull.\r\n" * 40).encode(),
    "bom.txt": b"\xef\xbb\xbfThe zeppelin landed.\n" + b"Nothing else did.\n" * 40,
    "code/reader.py": b"import os\n\n\ndef open_harbour(path):\n    return os.open(path)\n",
}
COMPASS = "Where is the emerald compass?"


def decoded(name):
    return SOURCES[name].decode("utf-8-sig")


def assert_refused(done, code, *told):
    """One line on stderr, nothing on stdout, no traceback."""
    assert (done.code, done.out) == (code, ""), done.err
    assert done.err.startswith("mctool: ")
    assert done.err.count("\n") == 1
    assert "internal error" not in done.err
    for words in told:
        assert words in done.err


WHOLE, REAL, TEXT = int, float, str
CITATION = {
    "path": TEXT,
    "start_line": WHOLE,
    "end_line": WHOLE,
    "start_char": WHOLE,
    "end_char": WHOLE,
    "text": TEXT,
    "delta_nats": (float, type(None)),
    "place": (str, type(None)),
}
CONTRACT = {
    "question": TEXT,
    "answer": TEXT,
    "supported": bool,
    "citations": [CITATION],
    "focus": {
        "w_max": WHOLE,
        "cost": WHOLE,
        "iterations": [{"expanded": WHOLE, "collapsed": WHOLE, "swap_rate": REAL, "cost": WHOLE, "seconds": REAL}],
        "entries": [
            {
                "lod": WHOLE,
                "start_token": WHOLE,
                "end_token": WHOLE,
                "cost": WHOLE,
                "score": REAL,
                "path": (str, type(None)),
                "start_char": (int, type(None)),
                "end_char": (int, type(None)),
            }
        ],
    },
    "model": TEXT,
    "lens": TEXT,
    "positions": TEXT,
    "tree": {"path": TEXT, "tokens": WHOLE, "documents": WHOLE, "stale": [TEXT]},
    "usage": {"prompt_tokens": WHOLE, "window_slots": WHOLE, "completion_tokens": WHOLE},
    "seconds": dict.fromkeys(("load", "lens", "focus", "prefill", "decode", "first_token", "total"), REAL),
    "peak_rss_mb": REAL,
    "style": TEXT,
    "lora": (str, type(None)),
    "support": (float, type(None)),
    "nearest": [CITATION],
}


def assert_keeps(contract, value, where="result"):
    """Exactly the fields and types of the contract."""
    if isinstance(contract, dict):
        assert list(value) == list(contract), where
        for name, inner in contract.items():
            assert_keeps(inner, value[name], f"{where}.{name}")
    elif isinstance(contract, list):
        assert isinstance(value, list), where
        for item in value:
            assert_keeps(contract[0], item, f"{where}[]")
    else:
        assert isinstance(value, contract), (where, value)
        assert contract is bool or not isinstance(value, bool), where


def assert_sound(result):
    """What holds for every result: tiling, budget, and citations of raw text."""
    assert_keeps(CONTRACT, result)
    focus, usage = result["focus"], result["usage"]
    reached = 0
    for entry in focus["entries"]:
        assert entry["start_token"] == reached < entry["end_token"]
        reached = entry["end_token"]
        assert entry["cost"] == (entry["end_token"] - entry["start_token"] if entry["lod"] == 0 else 1)
        assert -1 <= entry["score"] <= 1
    assert reached == result["tree"]["tokens"]
    assert sum(entry["cost"] for entry in focus["entries"]) == focus["cost"] <= focus["w_max"]
    if focus["iterations"]:
        assert focus["iterations"][-1]["cost"] == focus["cost"]
    for step in focus["iterations"]:
        assert step["cost"] <= focus["w_max"]
        assert 0 < step["swap_rate"] <= 1
    assert usage["window_slots"] <= usage["prompt_tokens"] <= focus["w_max"]
    assert not result["citations" if not result["supported"] else "nearest"]
    assert result["style"] in ("short", "long")
    for citation in result["citations"] + result["nearest"]:
        assert_right(citation, focus["entries"])


def assert_right(citation, entries):
    """A citation says what its file says there, and is covered by raw entries."""
    text = decoded(citation["path"])
    start, end = citation["start_char"], citation["end_char"]
    assert citation["text"] == text[start:end] != ""
    assert citation["start_line"] == text[:start].count("\n") + 1
    assert citation["end_line"] == text[: end - 1].count("\n") + 1
    raw = [
        (entry["start_char"], entry["end_char"])
        for entry in entries
        if entry["lod"] == 0 and entry["path"] == citation["path"]
    ]
    reached = start
    for first, last in sorted(raw):
        if first <= reached < last:
            reached = last
    assert reached >= end
