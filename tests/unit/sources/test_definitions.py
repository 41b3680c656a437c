import pytest

from mctool.sources.definitions import Owner, defined_lines, defined_spans

PYTHON = '''import os

class Ship:
    """A ship."""

    name = "x"

    async def sail(self,
                   knots):
        for i in range(3):
            go(i)
        # a note
        return knots

    @property
    def crew(self):
        return 3

def harbour():
    def inner():
        wait()

    return Ship()

END = 1
'''

RUST = """impl<T> Harbour<T> {
    pub(crate) fn enter(&self) -> bool {
        let x = 1;
        true
    }
}

func (s *Server) Close() error {
	return nil
}
"""


def around(text, piece):
    start = text.index(piece)
    lines = defined_lines(text[: start + len(piece)], start)
    return list(dict.fromkeys(name for line in lines for name in line.names))


@pytest.mark.parametrize(
    ("piece", "names"),
    [
        ("import os", []),
        ('name = "x"', ["Ship"]),
        ("go(i)", ["Ship.sail"]),
        ("# a note\n        return knots", ["Ship.sail"]),
        ("return knots\n\n    @property\n    def crew(self)", ["Ship.sail", "Ship", "Ship.crew"]),
        ("return Ship()", ["harbour"]),
        ("wait()", ["harbour", "harbour.inner"]),
        ("END = 1", []),
        (PYTHON, ["Ship", "Ship.sail", "Ship.crew", "harbour", "harbour.inner"]),
    ],
)
def test_python(piece, names):
    assert around(PYTHON, piece) == names


@pytest.mark.parametrize(("piece", "names"), [("let x", ["Harbour.enter"]), ("return nil", ["Close"])])
def test_braces(piece, names):
    assert around(RUST, piece) == names


PROSE = '''def ship(a):
    """Say what a ship is.

    A
type of vessel, or a
class whose
    function that
    class Harbour(x)
    """
    # type of
    module docs are
    return a
'''


def test_prose_neither_begins_nor_ends_a_definition():
    assert around(PROSE, PROSE) == ["ship"]
    assert [line.names for line in defined_lines(PROSE, 0)] == [["ship"]] * 12


@pytest.mark.parametrize(
    "text",
    [
        "x = '\"\"\"'\ndef f():\n", "# don't say \"\"\"\ndef f():\n", "s = \"it's '\'\'\"\ndef f():\n",
        "s = '\'\'a\\'\'\' \"\"\"'\'\'\ndef f():\n", "s = r\"\"\"\nclass A:\n\"\"\"\ndef f():\n",
    ],
)  # fmt: skip
def test_what_is_in_quotes_is_told_from_quotes(text):
    assert around(text, text) == ["f"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # Python
        ("class A: pass", "A"), ("class A(B,\n        C):", "A"), ("def f[T](x: T) -> T:", "f"), ("async def f(", "f"),
        # C
        ("int f(int a, char *b) {", "f"), ("static int f(void)\n{", "f"), ("struct buf *buf_new(void) {", "buf_new"),
        ("int\nf (int a,\n   int b)\n{", "f"), ("unsigned long f(int (*g)(int)) {", "f"), ("struct buf {", "buf"),
        ("typedef struct buf {", "buf"), ("enum color\n{", "color"), ("struct buf make(int a) {", "make"),
        # C++
        ("Type Class::method(int a) const {", "Class.method"), ("Class::Class(int a) : a(a), b{1} {", "Class.Class"),
        ("Box<T>::~Box() {", "Box.Box"), ("std::vector<int> f(const T& a) noexcept override {", "f"),
        ("enum class Color : int {", "Color"), ("class LIB_API A final : public B {", "A"), ("class A final {", "A"),
        ("template <typename T> class A {", "A"), ("auto f(int a) -> int {", "f"),
        # Java, C#
        ("public static void f() throws X, Y {", "f"), ("public Map<String, List<X>> f(int[] a) {", "f"),
        ("@Override public void f() {", "f"), ("public Ship(String name) {", "Ship"),
        ("public sealed class A : B", "A"),
        ("internal async Task<int> F(int a = 1)\n{", "F"), ("class A extends B {", "A"), ("record P(int x) {", "P"),
        # Kotlin, Swift, Scala
        ("fun f(a: Int): Int = a", "f"), ("override suspend fun <T> f(a: T) {", "f"), ("fun String.f() {", "String.f"),
        ("data class A(val x: Int)", "A"), ("func f(a: Int) -> Int {", "f"), ("def f: Int = 1", "f"),
        # Go, Rust
        ("type Foo struct {", "Foo"), ("type Foo interface {", "Foo"), ("type F func(int) error", "F"),
        ("func (s *Server[T]) Close() error {", "Close"), ("impl A for B {", "A"),
        ("impl<T: Into<X>> A<T> for B {", "A"),
        ("pub(crate) fn f<'a>(x: &'a str) {", "f"), ("pub struct A;", "A"), ("pub trait A: B {", "A"),
        ("macro_rules! m {", "m"),
        # Lua, Ruby, Perl, shell
        ("local function f(a)", "f"), ("function M.f(a)", "M.f"), ("function M:f(a)", "M.f"),
        ("M.f = function(a)", "f"),
        ("def self.f(a)", "f"), ("def f?", "f"), ("class A < B", "A"), ("sub f {", "f"), ("f() {", "f"),
        ("function f {", "f"), ("clean-up ()\n{", "clean-up"),
        # JavaScript, TypeScript
        ("const f = (a, b) => a", "f"), ("export const f = async (a) => {", "f"),
        ("const f = async function(a) {", "f"),
        ("let f = a => {", "f"), ("const f = (\n  a,\n): number => {", "f"), ("exports.f = function (a) {", "f"),
        ("function* f(a) {", "f"), ("function *f() {", "f"), ("export default function f(a) {", "f"),
        ("f(a, { b, c }, ...d) {", "f"), ("async f(a: number): Promise<void> {", "f"), ("static get f() {", "f"),
        ("export interface A extends B {", "A"), ("type A<T> = B", "A"),
    ],
)  # fmt: skip
def test_a_definition_is_known_by_its_line(text, name):
    assert around(text + "\n  x\n", text + "\n  x") == [name]
    assert around("  " + text.replace("\n", "\n  "), text.replace("\n", "\n  ")) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "if (a) {", "} else if (a) {", "else if (a) {", "for (i = 0; i < n; i++) {", "for (x of xs) {",
        "while (a(b)) {",
        "switch (a) {", "catch (E e) {", "return f(a) {", "do {", "return new A(b) {", "sizeof(a) {", "new A() {",
        "int f(int a);", "f(a);", "f(a)\nint b;", "repeat(3) {", 'it("does", () => {', "match f(a) {",
        "foreach (a as b) {",
        "list_for_each(a, b) {", "throw new E(a) {", "x = new A() {", "if constexpr (a) {", "synchronized (a) {",
        "lock (a) {", "go func() {", "defer func() {", "const x = f(a)", "const a = (b + c)", "self.f = g(a)",
        "await f(a) {",
        "struct buf *next;", "enum color c;", "class Foo bar(a);", "type of a thing", "class whose name",
        "def of a word",
        "function that goes on", "default:", "static const int a[] = {",
    ],
)  # fmt: skip
def test_what_is_no_definition(text):
    assert around(text, text) == []


CPP = """class Ship : public Vessel {
public:
  int crew() const
  {
    return 3;
  }

private:
  void sail() { go(); }
};

int run(void)
{
    if (bad) {
        goto fail;
    }
#ifdef X
fail:
    return 1;
}
int other;
"""


@pytest.mark.parametrize(
    ("piece", "names"),
    [
        ("return 3", ["Ship.crew"]), ("go()", ["Ship.sail"]), ("goto fail", ["run"]), ("return 1", ["run"]),
        ("int other", []),
    ],
)  # fmt: skip
def test_labels_and_braces_end_nothing(piece, names):
    assert around(CPP, piece) == names


def test_nothing_is_around_nothing():
    assert list(defined_lines("", 0)) == []


def test_lines_tell_where_they_are():
    lines = list(defined_lines(PYTHON, PYTHON.index("wait()")))
    assert [PYTHON[line.start : line.end].strip() for line in lines] == ["wait()", "", "return Ship()", "", "END = 1"]


def test_spans_go_from_the_definition_to_the_last_line():
    spans = {owner.name: PYTHON[owner.start : end].strip() for owner, end in defined_spans(PYTHON).items()}
    assert list(spans) == ["Ship", "Ship.sail", "Ship.crew", "harbour", "harbour.inner"]
    assert spans["Ship"].startswith("class Ship:")
    assert spans["Ship"].endswith("return 3")
    assert spans["Ship.sail"].startswith("async def sail")
    assert spans["Ship.sail"].endswith("return knots")
    assert spans["harbour.inner"] == "def inner():\n        wait()"


def test_what_has_one_name_is_told_apart_by_its_place():
    first, second = "def a():\n    x()\n\n", "def a():\n    y()\n"
    assert list(defined_spans(first + second).items()) == [
        (Owner("a", True, 0), len(first)),
        (Owner("a", True, len(first)), len(first + second)),
    ]
