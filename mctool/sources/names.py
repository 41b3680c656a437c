"""What a name alone says: reasons to skip a file or a directory without opening it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import PurePath

from mctool.core.errors import UsageError
from mctool.sources.extract.formats import missing_reader_of

PRIVATE_NAMES = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", ".mctool"})
"""Storage of version control and of mctool itself. Nobody takes it for text, so it is left out without a word."""

BINARY = "binary"
EMPTY = "empty"
GENERATED = "generated code"
MINIFIED = "minified"
NOT_REGULAR = "not a regular file"

_ARCHIVE = "archive; unpack it and ingest the files"
_CACHE = "cache of a tool"
_INSTALLED = "installed packages"
_VENDORED = "vendored code"


def _table(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


_DIRECTORIES = {
    **_table(_INSTALLED, "node_modules bower_components site-packages"),
    **_table(_VENDORED, "vendor third_party _vendor"),
    **_table(_CACHE, "__pycache__ .tox .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .ipynb_checkpoints"),
}

_SYSTEM_FILES = _table("file of the operating system", ".DS_Store .localized Thumbs.db desktop.ini")

_LOCK_FILES = _table(
    "lock file",
    "package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock deno.lock poetry.lock pdm.lock uv.lock "
    "Pipfile.lock Cargo.lock composer.lock Gemfile.lock flake.lock go.sum go.work.sum",
)

_SUFFIXES = {
    **{
        f".{format_name.lower()}": f"{format_name} needs a reader that this version does not have"
        for format_name in ("MOBI", "AZW3", "DJVU", "DOC", "ODT", "RTF", "PPT", "XLS")
    },
    **_table(_ARCHIVE, ".zst .7z .rar .jar .whl"),
    **_table(BINARY, ".png .jpg .jpeg .gif .bmp .ico .webp .avif .heic .tif .tiff .psd .mp3 .m4a .ogg .flac .wav"),
    **_table(BINARY, ".mp4 .mkv .mov .avi .webm .woff .woff2 .ttf .otf .eot .exe .dll .so .dylib .o .a .pyc .class"),
    **_table(BINARY, ".wasm .sqlite .sqlite3 .db .npy .npz .parquet .safetensors .gguf .onnx .iso .dmg"),
}

_CODE = {
    "assembly": ".s .asm",
    "c": ".c .h",
    "clojure": ".clj .cljs",
    "cpp": ".cc .cpp .cxx .h .hh .hpp .hxx .cu",
    "csharp": ".cs",
    "css": ".css .scss",
    "dart": ".dart",
    "elisp": ".el",
    "elixir": ".ex .exs",
    "erlang": ".erl",
    "fortran": ".f90",
    "go": ".go",
    "groovy": ".groovy",
    "haskell": ".hs",
    "java": ".java",
    "javascript": ".js .jsx .mjs .svelte .vue",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "lua": ".lua",
    "nim": ".nim",
    "objc": ".h .m .mm",
    "ocaml": ".ml",
    "perl": ".pl .pm",
    "php": ".php",
    "powershell": ".ps1",
    "proto": ".proto",
    "python": ".ipynb .py .pyi .pyx",
    "r": ".r",
    "ruby": ".rb",
    "rust": ".rs",
    "scala": ".scala",
    "shell": ".bash .sh .zsh",
    "sql": ".sql",
    "swift": ".swift",
    "tcl": ".tcl",
    "typescript": ".svelte .ts .tsx .vue",
    "vb": ".vb",
    "verilog": ".v",
    "zig": ".zig",
}
_MARKUP = {
    "html": ".htm .html .xhtml",
    "json": ".json .jsonl",
    "latex": ".tex",
    "markdown": ".markdown .md",
    "rst": ".rst",
    "toml": ".toml",
    "xml": ".xml",
    "yaml": ".yaml .yml",
}
LANGUAGES = {name: frozenset(suffixes.split()) for name, suffixes in sorted({**_CODE, **_MARKUP}.items())}
"""Programming and markup languages -> suffixes of their files."""

_CODE_SUFFIXES = frozenset(" ".join(_CODE.values()).split()) - {".ipynb"}


def is_code(path: str) -> bool:
    """Whether a file holds code in a programming language, going by its name."""
    return PurePath(path).suffix.lower() in _CODE_SUFFIXES


def suffixes_of(languages: Iterable[str]) -> frozenset[str]:
    """The suffixes of files in any of these languages.

    Raises:
        UsageError: A language is unknown.
    """
    languages = list(languages)
    for name in languages:
        if name not in LANGUAGES:
            raise UsageError(f"--lang {name} is not known", f"the languages are {', '.join(LANGUAGES)}")
    return frozenset().union(*(LANGUAGES[name] for name in languages))


def directory_reason(name: str) -> str | None:
    """Why a directory below the source is not entered, going by its name; None if it is."""
    return _DIRECTORIES.get(name)


def holds_virtual_environment(names: Iterable[str]) -> bool:
    """Whether a directory with these names in it is a Python virtual environment."""
    return "pyvenv.cfg" in names


def file_reason(name: str, named: bool) -> str | None:
    """Why a file is not read, going by its name; None if it is.

    Args:
        name: Name of the file without directories.
        named: The user named the file, so that only what cannot be read as text is a reason.
    """
    unreadable = _SUFFIXES.get(PurePath(name).suffix.lower()) or missing_reader_of(name)
    if named or unreadable:
        return unreadable
    if name.endswith((".min.js", ".min.css")):
        return MINIFIED
    return _SYSTEM_FILES.get(name) or _LOCK_FILES.get(name)


def matches(path: str, glob: str) -> bool:
    """Whether a document's path, or its end, matches a glob; ``*`` crosses directories."""
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"*/{glob}")
