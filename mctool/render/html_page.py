"""The page of ``mctool inspect --html``: one file that needs no network, made of the parts in ``page/``.

Text of documents enters as JSON alone. A policy in the page lets the browser run this script and no other, and load
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files

from mctool.core.page import Page

SCRIPTS = ("data.js", "map.js", "panels.js", "main.js")


def render_page(page: Page, is_live: bool = False) -> str:
    """The page as HTML; one that ``is_live`` may ask the server it comes from for text that it lacks."""
    script = "\n".join(['"use strict";', *(_part(name) for name in SCRIPTS)])
    style = _part("page.css")
    source = "'self'" if is_live else "'none'"
    title = page.questions[0].question if page.questions else page.tree.path
    parts = {
        "@POLICY@": f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        f"img-src data:; connect-src {source}; base-uri 'none'; form-action 'none'",
        "@TITLE@": f"{_escaped(title)} - mctool",
        "@STYLE@": style,
        "@SCRIPT@": script,
        "@LIVE@": "true" if is_live else "false",
        "@DATA@": _json(page),
    }
    html = _part("page.html")
    pieces = []
    for mark in sorted(parts, key=html.index):  # each in its place once, so that no mark within a document is taken
        before, _, html = html.partition(mark)
        pieces += [before, parts[mark]]
    return "".join([*pieces, html])


def _part(name: str) -> str:
    return (files("mctool.render") / "page" / name).read_text(encoding="utf-8")


def _json(page: Page) -> str:
    """JSON that cannot end the element it stands in, and has no half surrogate pair in it."""
    text = json.dumps(page.to_json(), ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text) if _has_halves(text) else text


def _has_halves(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _escaped(text: str) -> str:
    """Text for the title element."""
    line = " ".join(text.split()).encode(errors="replace").decode()
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
