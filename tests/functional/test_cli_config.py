"""``mctool config``, variables for all options, and what configuration files may not say."""

import pytest


@pytest.fixture
def files(project, tmp_path):
    """The project's and the user's configuration file; neither is there yet."""
    user = tmp_path / "config" / "mctool" / "config.toml"
    user.parent.mkdir(parents=True)
    return project / "mctool.toml", user


def setting(run_cli, command, option, *arguments):
    done = run_cli("config", "show", "--json", *arguments)
    assert done.code == 0, done.err
    (found,) = [
        item for item in done.json["settings"] if (item["command"], item["option"]) == (command, option)
    ]  # fmt: skip
    return found["value"], found["source"], found["where"]


def test_each_value_and_where_it_comes_from(run_cli, project, files, monkeypatch):
    project_file, user_file = files
    assert setting(run_cli, "ask", "max-new-tokens") == (96, "default", None)
    assert setting(run_cli, "ask", "path") == (None, "default", None)
    user_file.write_text("# mine\nmax-new-tokens = 10\n[ingest]\nexclude = ['*.md']\n")
    assert setting(run_cli, "ask", "max-new-tokens") == (10, "user", f"{user_file}, line 2")
    assert setting(run_cli, "evaluate answers", "max-new-tokens") == (10, "user", f"{user_file}, line 2")
    assert setting(run_cli, "ingest", "exclude") == (["*.md"], "user", f"{user_file}, line 4")
    project_file.write_text("[ask]\n\nmax-new-tokens = 20\ntree = 'index'\n")
    assert setting(run_cli, "ask", "max-new-tokens") == (20, "project", f"{project_file}, line 3")
    assert setting(run_cli, "ask", "tree") == (str(project / "index"), "project", f"{project_file}, line 4")
    assert setting(run_cli, "evaluate answers", "max-new-tokens") == (10, "user", f"{user_file}, line 2")
    monkeypatch.setenv("MCTOOL_MAX_NEW_TOKENS", "30")
    assert setting(run_cli, "ask", "max-new-tokens") == (30, "environment", "MCTOOL_MAX_NEW_TOKENS")


def test_text_shows_what_is_set_and_all_on_demand(run_cli, files):
    files[0].write_text("[ask]\nno-narrow = true\n")
    done = run_cli("config", "show")
    assert f"ask --no-narrow: on  (project: {files[0]}, line 2)" in done.out.splitlines()
    assert "ask --seed" not in done.out
    assert "have their default; --all lists them" in done.err
    assert run_cli("config", "show", "-q").err == ""
    assert "ask --seed: 0  (default)" in run_cli("config", "show", "--all").out


def test_paths(run_cli, files):
    project_file, user_file = files
    assert run_cli("config", "path").out == f"{user_file} (not there)\n"
    project_file.write_text("")
    user_file.write_text("")
    assert run_cli("config", "path").out == f"{project_file}\n{user_file}\n"
    assert run_cli("config", "path", "--json").json == {
        "project": str(project_file),
        "user": str(user_file),
        "user_exists": True,
    }


def test_any_option_can_be_a_variable(run_cli, project, monkeypatch):
    (project / "a.txt").write_text("some text")
    (project / "b.md").write_text("more text")
    monkeypatch.setenv("MCTOOL_DRY_RUN", "1")
    monkeypatch.setenv("MCTOOL_EXCLUDE", "*.md *.rst")
    done = run_cli("ingest", ".", "--json")
    assert done.json["new"] == 1
    assert run_cli("ingest", ".", "--json", "--exclude", "*.txt").json["new"] == 1
    assert "MCTOOL_EXCLUDE" not in run_cli("ingest", "--help").out


def test_a_bad_variable_is_named(run_cli, project, monkeypatch):
    monkeypatch.setenv("MCTOOL_SEED", "many")
    done = run_cli("ask", "Why?")
    assert done.code == 2
    assert "'--seed'" in done.err
    assert "(set by MCTOOL_SEED)" in done.err
    assert run_cli("config", "show").code == 2
    assert "MCTOOL_SEED" not in run_cli("ask", "Why?", "--seed", "few").err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nw-max = 'wide'", "'w-max' in {file}, line 2, makes no sense"),
        ("[ask]\nw-max = true", "'ask.w-max' in {file}, line 2, is true or false"),
        ("[ask]\nno-lora = 1", "'ask.no-lora' in {file}, line 2, is not true or false"),
        ("[ingest]\nexclude = '*.md'", "'ingest.exclude' in {file}, line 2, is not a list"),
        ("ask.seed = [1]", "'ask.seed' in {file}, line 1, is a list"),
        ("ask = { seed = 'x' }", "'ask.seed' in {file} makes no sense"),
        ("seed = 1\n\n[ask]\nsead = 2", "{file}, line 4, sets 'ask.sead', which is no option"),
        ("seed = 1\n[asc]\nseed = 2", "{file}, line 2, sets 'asc', which is no option"),
        ("install-completion = true", "'install-completion', which is no option"),
    ],
)
def test_what_a_file_may_not_say(run_cli, files, text, told):
    files[0].write_text(text)
    for command in (["models", "list"], ["config", "show"]):
        done = run_cli(*command)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert told.format(file=files[0]) in done.err


def test_a_value_that_the_command_refuses_is_traced_to_its_line(run_cli, files, letters_tree):
    files[0].write_text("[ask]\nlens = 'psychic'\n")
    done = run_cli("ask", "Why?")
    assert done.code == 2
    assert f"--lens psychic is not one of hybrid, learned, lexical (set in {files[0]}, line 2)" in done.err
    assert "set in" not in run_cli("ask", "Why?", "--lens", "odd").err
