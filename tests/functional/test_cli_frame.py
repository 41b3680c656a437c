"""The frame of the program: help, version, errors, exit codes, configuration, closed pipes."""

import errno
import json
import os
import subprocess
import sys

import pytest

from mctool.core.errors import MctoolError
from mctool.version import __version__

HEAVY = ("torch", "transformers", "zarr", "tantivy", "tokenizers", "numpy")


def run_process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mctool", *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ingest", "--help"], ["models", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments):
    code = (
        "import sys\nfrom mctool.cli import main\n"
        f"code = main({arguments!r})\n"
        f"sys.exit([name for name in {HEAVY!r} if name in sys.modules] or code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_version(run_cli):
    assert run_cli("--version").out == f"mctool {__version__}\n"


def test_no_command_shows_help_and_is_a_usage_error(run_cli, project):
    done = run_cli()
    assert done.code == 2
    assert "ingest" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ingst"], "did you mean 'ingest'"),
        (["ingest"], "Missing argument 'SOURCE'"),
        (["ingest", ".", "--colour"], "No such option: --colour"),
        (["ingest", ".", "--max-file-mb", "many"], "'--max-file-mb'"),
    ],
)
def test_usage_errors_take_one_line(run_cli, project, arguments, told):
    done = run_cli(*arguments)
    assert done.code == 2
    assert done.err.startswith("mctool: ")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert "--help`" in done.err
    assert done.out == ""


@pytest.fixture
def failing(monkeypatch):
    """Makes ``mctool models list`` fail with an exception."""

    def fail_with(error):
        def fail():
            raise error

        monkeypatch.setattr("mctool.app.models.list_models", fail)

    return fail_with


ALL_ERRORS = [MctoolError]
for kind in ALL_ERRORS:
    ALL_ERRORS.extend(kind.__subclasses__())


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_of_mctool_ends_with_its_code_and_one_line(run_cli, project, failing, kind):
    failing(kind("it is\nwrong", "run `this`"))
    done = run_cli("models", "list")
    assert (done.code, done.out, done.err) == (kind.exit_code, "", "mctool: it is wrong; run `this`\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), 9),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes"), 9),
        (OSError(errno.ENOSPC, "No space left on device"), 9),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (KeyError("oops"), 1),
        (OSError(errno.EIO, "Input/output error"), 1),
    ],
)
def test_other_errors(run_cli, project, failing, error, code):
    failing(error)
    done = run_cli("models", "list")
    assert done.code == code
    assert done.err.count("\n") == (code in (1, 9))


def test_a_bug_is_called_one(run_cli, project, failing):
    failing(KeyError("oops"))
    assert run_cli("models", "list").err == (
        "mctool: internal error: KeyError: 'oops'; this is a bug: run again with --debug and report what it prints\n"
    )


@pytest.mark.parametrize("arguments", [["--debug", "models", "list"], ["models", "list", "--debug"]])
def test_debug_shows_the_traceback(run_cli, project, failing, arguments):
    failing(MctoolError("wrong"))
    done = run_cli(*arguments)
    assert "Traceback" in done.err
    assert done.err.endswith("mctool: wrong\n")


def test_debug_from_the_environment(run_cli, project, failing, monkeypatch):
    monkeypatch.setenv("MCTOOL_DEBUG", "1")
    failing(MctoolError("wrong"))
    assert "Traceback" in run_cli("models", "list").err


def test_closed_pipe_ends_quietly(project):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "mctool", "models", "list", "--json"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_no_escapes_in_output_that_is_no_terminal(project, variable):
    done = run_process("models", "list", env={**os.environ, variable: "dumb"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_json_is_json_whatever_the_encoding_of_stdout(project):
    (project / "é.png").write_bytes(b"\x89PNG")
    (project / "a.txt").write_text("some text")
    done = run_process("ingest", ".", "--dry-run", "--json", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout)["skipped"][0]["path"] == "é.png"


class TestConfigurationFiles:
    """Options beat the environment, it beats the project's file, and that beats the user's."""

    @pytest.fixture(autouse=True)
    def files(self, project, tmp_path):
        self.project_file = project / "mctool.toml"
        self.user_file = tmp_path / "config" / "mctool" / "config.toml"
        self.user_file.parent.mkdir(parents=True)
        (project / "a.txt").write_text("some text")

    def tree_of(self, run_cli, *options):
        done = run_cli("ingest", "a.txt", "--dry-run", "--json", *options)
        assert done.code == 0, done.err
        return done.json["tree"].rsplit("/", 1)[1]

    def test_order(self, run_cli, project, monkeypatch):
        self.user_file.write_text('tree = "of-user"\n')
        assert self.tree_of(run_cli) == "of-user"
        self.project_file.write_text('tree = "of-project"\n')
        assert self.tree_of(run_cli) == "of-project"
        monkeypatch.setenv("MCTOOL_TREE", "of-environment")
        assert self.tree_of(run_cli) == "of-environment"
        assert self.tree_of(run_cli, "-t", "of-option") == "of-option"

    def test_the_nearest_file_upward_counts_and_so_does_its_place(self, run_cli, project, monkeypatch):
        self.project_file.write_text('tree = "index"\n')
        (project / "src").mkdir()
        (project / "src" / "a.txt").write_text("some text")
        monkeypatch.chdir(project / "src")
        assert run_cli("ingest", "a.txt", "--dry-run", "--json").json["tree"] == str(project / "index")

    def test_table_of_a_command_goes_before_the_top(self, run_cli):
        self.project_file.write_text('tree = "top"\n[ingest]\ntree = "table"\nmax-file-mb = 2\n')
        assert self.tree_of(run_cli) == "table"

    def test_list_values(self, run_cli, project):
        (project / "b.md").write_text("more text")
        self.project_file.write_text('[ingest]\nexclude = ["*.md", "*.toml"]\n')
        assert run_cli("ingest", ".", "--dry-run", "--json").json["new"] == 1

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("trea = 1", "'trea'"),
            ("[ingest]\nw-max = 1", "'ingest.w-max'"),
            ("[models.pull]\ntree = 1", "'models.pull.tree'"),
            ("[nonsense]\ntree = 1", "'nonsense'"),
            ("tree = ", "is not TOML"),
            ("version = true", "'version'"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, run_cli, text, told):
        self.project_file.write_text(text)
        done = run_cli("models", "list")
        assert done.code == 2
        assert told in done.err
        assert str(self.project_file) in done.err

    def test_a_value_that_makes_no_sense_is_a_usage_error(self, run_cli):
        self.project_file.write_text('[ingest]\nmax-file-mb = "big"\n')
        assert run_cli("ingest", "a.txt", "--dry-run").code == 2
