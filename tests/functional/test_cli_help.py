"""--help of every command, its examples, and the completion of shells."""

import shlex

import pytest

from mctool.cli.config_files import leaf_commands
from mctool.cli.examples import EXAMPLES
from mctool.cli.program import PROGRAM, program_command

COMMANDS = [" ".join(path) for path, _ in leaf_commands(program_command())]


def test_every_command_has_two_to_four_examples_and_no_other_has():
    assert set(EXAMPLES) == set(COMMANDS)
    assert all(2 <= len(lines) <= 4 for lines in EXAMPLES.values())


def calls_in(line):
    """The arguments of each call of the program in a line of a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>()")
    lexer.whitespace_split = True
    words = list(lexer)
    for start, word in enumerate(words):
        if word == PROGRAM:
            rest = words[start + 1 :]
            end = next((place for place, other in enumerate(rest) if other in ("|", ">", ")")), len(rest))
            yield rest[:end]


def parse(arguments):
    """Parse as the program does, without running anything; return the names of the commands."""
    command, rest, names = program_command(), arguments, []
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(command.make_context(PROGRAM, rest), rest)
        names.append(name)
    command.make_context(names[-1], rest)
    return " ".join(names)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_parse_and_are_shown(run_cli, project, name):
    shown = " ".join(run_cli(*name.split(), "--help").out.split())
    assert name in [parse(arguments) for line in EXAMPLES[name] for arguments in calls_in(line)]
    for line in EXAMPLES[name]:
        assert " ".join(line.split()) in shown


def test_a_wrong_example_would_be_found():
    import typer

    assert list(calls_in("echo x | mctool ask - --jsn | jq .a")) == [["ask", "-", "--jsn"]]
    with pytest.raises(typer.TyperException, match="--jsn"):
        parse(["ask", "-", "--jsn"])


def test_bash_completes_after_installation(shell):
    assert "_mctool_completion" in shell.out("mctool --show-completion; true")
    assert "bash completion installed in" in shell.out("mctool --install-completion; true")
    complete = (
        ". ~/.bash_completions/mctool.sh; COMP_WORDS=({words}); COMP_CWORD={at}; "
        '_mctool_completion mctool; echo "${{COMPREPLY[@]}}"'
    )
    assert shell.out(complete.format(words="mctool in", at=1)).split() == ["ingest", "inspect"]
    assert shell.out(complete.format(words="mctool ask --show", at=2)).split() == ["--show-focus"]
    assert shell.out("complete -p mctool", "-i").startswith("complete -o default -F _mctool_completion mctool")


def test_zsh_completes_after_installation(shell):
    assert shell.out("mctool --show-completion; true", name="zsh").startswith("#compdef mctool")
    assert "zsh completion installed in" in shell.out("mctool --install-completion; true", name="zsh")
    assert shell.out("print $_comps[mctool]", "-i", name="zsh").strip() == "_mctool"
    found = shell.out('_TYPER_COMPLETE_ARGS="mctool in" _MCTOOL_COMPLETE=complete_zsh mctool', name="zsh")
    assert found.startswith("_arguments ")
    assert '"ingest"' in found
    assert '"ask"' not in found


def test_the_reference_is_current():
    from mctool.cli.reference import REFERENCE, render_reference

    assert REFERENCE.read_text("utf-8") == render_reference(), "run `python -m mctool.cli.reference`"


def test_the_reference_names_every_option():
    from mctool.cli.reference import render_reference

    sections = render_reference().split("\n## mctool ")[1:]
    assert [section.partition("\n")[0] for section in sections] == COMMANDS
    for section, (_, command) in zip(sections, leaf_commands(program_command()), strict=True):
        for param in command.params:
            assert f"`{param.opts[-1]}" in section or param.param_type_name == "argument"
