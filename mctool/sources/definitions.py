"""Which functions and classes a stretch of source code belongs to, told by its lines alone.

A definition goes on until a line that is indented no deeper than its own: right for Python, and for languages with
braces as they are usually laid out. Broken code, and languages that no parser is at hand for, are read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_INDENT = r"(?P<indent>[ \t]*+)(?:@\w+[ \t]+)*(?:template[ \t]*<[^\n]*>[ \t]+)?"
_MODIFIERS = (
    r"(?:(?:export|default|public|private|protected|internal|static|async|pub(?:\([^)]*\))?|final|abstract|unsafe"
    r"|inline|virtual|override|extern|const|data|sealed|open|suspend|inner|operator|partial|declare|typedef|local"
    r"|case|annotation|value|mutable)[ \t]+)*"
)
_PARAMETERS = r"(?:[ \t]*<[^\n]*?>)?"
_END = r"[ \t\r]*(?:$|[(\[:<{;=]|//|#)"
"""What goes on after the name of a definition, where a word of prose would be followed by another."""

_TYPE = re.compile(
    rf"{_INDENT}{_MODIFIERS}"
    r"(?:enum[ \t]+(?:class|struct)|class|interface|struct|enum|trait|impl|type|module|record|object)"
    rf"{_PARAMETERS}[ \t]+(?:[A-Z\d_]+[ \t]+)??(?P<name>[^\W\d]\w*)"
    rf"(?:{_END}|::|[ \t]+(?:extends|implements|permits|for|where|with|struct|interface|func|final|map|chan|string"
    r"|u?int\d*|float\d*)\b)",
    re.M,
)
"""``class A(B):``, ``pub struct A<T>;``, ``impl A for B {``, ``type A struct {``, ``class EXPORTED A final {``."""

_FUNCTION = re.compile(
    rf"{_INDENT}{_MODIFIERS}(?:def|fn|fun|func|function|sub|macro_rules!){_PARAMETERS}(?:[ \t]+|[ \t]*\*[ \t]*)"
    rf"(?:\([^)]*\)[ \t]*)?(?:self\.)?(?P<name>(?:[^\W\d]\w*(?:<[^\n(]*>)?\??[.:])*[^\W\d]\w*)[?!]?{_END}",
    re.M,
)
"""``async def f(``, ``func (a *A) f(``, ``fun <T> A.f(``, ``local function a.f(``, ``function* f(``."""

_ARROW = re.compile(
    rf"{_INDENT}(?:export[ \t]+)?(?:(?:const|let|var|local)[ \t]+|(?:[\w$]+\.)+)"
    r"(?P<name>[^\W\d][\w$]*)(?:[ \t]*:[^\n=]+)?[ \t]*=[ \t]*(?:async\b[ \t]*)?"
    r"(?:function\b[ \t]*\*?[ \t]*\w*[ \t]*\(|(?:\((?:[^()]|\([^()]*\))*+\)(?:[ \t]*:[^\n=]+)?|[\w$]+)[ \t]*=>)",
)
"""``const f = (a, b) =>``, ``let f = a =>``, ``exports.f = async function (``."""

_NO_STATEMENT = (
    r"(?!(?:lock|fixed|using|match|go|defer|super|this)\b"
    r"|[^\n(]*\b(?:def|class|if|elif|elseif|else|for|foreach|\w*for_each\w*|\w*FOR_?EACH\w*|while|until|unless|switch"
    r"|case|catch|except|try|do|with|return|throw|new|sizeof|typeof|await|yield|synchronized|function|func|fn"
    r"|lambda)\b)"
)
"""No line that begins with a word of the first list, or has one of the second before its first parenthesis."""

_BRACED = re.compile(
    rf"{_INDENT}{_NO_STATEMENT}"
    r"(?:[\w:<>,.?*&\[\]@ \t]*?[ \t*&>\]](?=[^\W\d]|~)|(?=[\w<>, \t]+::))"
    r"(?P<name>(?:\w+(?:<[^\n(]*>)?::)*~?[^\W\d]\w*)[ \t]*\((?:[^(){};]|\([^()]*\)|\{[^{}]*\})*+\)"
    r"(?:\s*+(?:const|noexcept|override|final|volatile|throws\s[\w.,\s]++|->[^;{}]++|:[^;{}]++))*+\s*+\{"
)
"""``int f(int a) {``, ``public void f() throws E {``, ``T A::f(int a) const {``; the brace may have its own line."""

_BARE = re.compile(
    rf"{_INDENT}{_NO_STATEMENT}(?P<name>[^\W\d][\w$-]*)[ \t]*"
    r"\((?!\s*\d)(?:\.\.\.|[\w\s,:?=<>\[\]{}|&$@*])*+\)(?:[ \t]*:[^;{}()=\n]+)?\s*\{"
)
"""``f() {`` of shells, ``f(a, b) {`` in a class, and what follows a return type that is on a line of its own."""

_DEFINITIONS = ((_TYPE, False), (_FUNCTION, True), (_ARROW, True), (_BRACED, True), (_BARE, True))
"""Patterns in the order in which they are tried, and whether they are of functions."""

_STRING = re.compile(
    r"""(?P<long>\"{3}|'{3})(?:[^\\]|\\.)*?(?:(?P=long)|\Z)|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|#[^\n]*""", re.S
)
"""Strings, of which those in triple quotes may have lines of their own, and comments, in which quotes mean nothing."""

_LABEL = re.compile(r"(?!(?:else|try|finally)\b)\w+[ \t]*:$")


class _Definition(NamedTuple):
    indent: int
    name: str
    is_function: bool
    start: int


class Owner(NamedTuple):
    """A function or a class that a line belongs to, named as in ``Class.method``; ``start`` is its first character."""

    name: str
    is_function: bool
    start: int


class DefinedLine(NamedTuple):
    """A line, characters [start, end) of a text, and all that it belongs to, the innermost last."""

    start: int
    end: int
    owners: list[Owner]

    @property
    def names(self) -> list[str]:
        """The innermost owner, and the functions around it."""
        return [owner.name for n, owner in enumerate(self.owners, 1) if owner.is_function or n == len(self.owners)]


def defined_lines(text: str, start: int) -> Iterator[DefinedLine]:
    """The lines that end after a character, and what each belongs to.

    Args:
        text: Source code, from its first character.
        start: The character.
    """
    open_definitions: list[_Definition] = []
    strings = [match.span() for match in _STRING.finditer(text) if match["long"]][::-1]
    place = 0
    for line in text.splitlines(keepends=True):
        while strings and strings[-1][1] <= place:
            strings.pop()
        is_in_string = bool(strings) and strings[-1][0] < place
        code = line.strip()
        # Comments, labels and brackets at the start of a line end no definition.
        if not is_in_string and code and code[0] not in "#{}])/*" and not _LABEL.match(code):
            indent = len(line) - len(line.lstrip())
            while open_definitions and open_definitions[-1].indent >= indent:
                open_definitions.pop()
            if definition := _definition_at(text, place):
                open_definitions.append(definition)
        begin, place = place, place + len(line)
        if place > start:
            owners = [
                Owner(".".join(outer.name for outer in open_definitions[:n]), one.is_function, one.start)
                for n, one in enumerate(open_definitions, 1)
            ]
            yield DefinedLine(begin, place, owners)


def defined_spans(text: str) -> dict[Owner, int]:
    """The functions and classes of a text in the order in which they begin, and where each ends.

    Args:
        text: Source code, from its first character.
    """
    return {owner: line.end for line in defined_lines(text, 0) for owner in line.owners}


def _definition_at(text: str, place: int) -> _Definition | None:
    """What the line at a place defines, named as in ``Class.method`` where it says whose it is; None for nothing."""
    for pattern, is_function in _DEFINITIONS:
        if match := pattern.match(text, place):
            name = ".".join(re.findall(r"[\w$-]+", re.sub("<.*>", "", match["name"])))
            return _Definition(len(match["indent"]), name, is_function, place)
    return None
